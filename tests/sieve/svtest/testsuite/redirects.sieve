redirect "dave@example.com";
