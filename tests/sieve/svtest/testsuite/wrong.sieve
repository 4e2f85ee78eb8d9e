frobnicate;
keep "x";
if header "a" { stop; }
