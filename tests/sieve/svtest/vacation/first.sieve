require "vacation";
vacation :subject "First" "a";
