redirect "dave@example.com";
redirect "erin@example.com";
