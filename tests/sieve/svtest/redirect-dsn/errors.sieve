require ["redirect-dsn", "redirect-deliverby"];
redirect :notify "NEVER,DELAY" "a@example.org";
redirect :ret "ALL" "a@example.org";
redirect :bytimerelative 10 :bymode "fast" "a@example.org";
redirect :bytrace "a@example.org";
redirect :bytimeabsolute "tomorrow" "a@example.org";
