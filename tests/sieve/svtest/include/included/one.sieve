require ["include", "variables"];
global "result";
set "own" "other";
set "result" "${result}1";
