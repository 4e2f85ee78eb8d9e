require "index";
if header :index 0 "x" "y" { keep; }
if header :last "x" "y" { keep; }
