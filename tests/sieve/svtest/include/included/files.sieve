require "fileinto";
fileinto "INBOX/x";
