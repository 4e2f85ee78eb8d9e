require "relational";
if header :value "xx" "a" "b" { keep; }
if header :comparator "i;ascii-numeric" "a" "1" { keep; }
