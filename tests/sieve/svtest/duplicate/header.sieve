require "duplicate";
if duplicate :header "X-Event" :last { discard; }
