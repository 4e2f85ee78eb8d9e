require ["include", "variables"];
global "result";
set "result" "r";
return;
set "result" "no";
