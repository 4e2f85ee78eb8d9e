require "ihave";
error "On purpose";
