require "variables";
set "not a name" "x";
set "0" "x";
set "unknown.name" "x";
set :lower :upper "a" "x";
set :fast "a" "x";
