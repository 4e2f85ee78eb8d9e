require ["encoded-character", "fileinto"];
fileinto "${unicode:DFFF}";
