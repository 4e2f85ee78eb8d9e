require "editheader";
addheader "X New" "x";
