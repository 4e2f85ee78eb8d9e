require "variables";
set "a" "0123456789abcdef";
if string "${a}" "0123456789" { redirect "a@example.org"; }
