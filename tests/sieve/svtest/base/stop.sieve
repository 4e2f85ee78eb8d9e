require "fileinto";
stop;
fileinto "x";
