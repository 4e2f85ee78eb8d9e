require ["mailboxid", "special-use", "fileinto"];
fileinto :mailboxid "F0" :specialuse "\\Junk" "Work";
