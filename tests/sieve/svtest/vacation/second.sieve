require "vacation";
vacation :subject "Second" "b";
