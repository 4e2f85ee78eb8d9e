require "processcalendar";
processcalendar :invitesonly :updatesonly;
