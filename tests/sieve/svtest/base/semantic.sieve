require "no-such-thing";
fileinto "x";
elsif true { keep; }
redirect "nobody";
if size 10 { keep; }
if address "subject" "x" { keep; }
