require "vnd.dovecot.report";
report "a buse" "x" "a@example.org";
report "abuse" "x" "nobody";
