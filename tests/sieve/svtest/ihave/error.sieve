require ["ihave"];
if not ihave "no-such-thing" { error "No luck."; }
