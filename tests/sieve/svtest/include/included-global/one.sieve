require ["include", "variables"];
global "result";
set "result" "g1";
