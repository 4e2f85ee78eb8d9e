require ["vnd.dovecot.pipe", "vnd.dovecot.filter", "vnd.dovecot.execute"];
pipe "bin/sh";
filter "..";
execute "";
