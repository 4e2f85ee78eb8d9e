require ["include", "variables"];
global "result";
include "one";
set "result" "${result}n";
