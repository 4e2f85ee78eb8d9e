require ["redirect-dsn", "variables"];
set "a" "x";
redirect :ret "${a}" "b@example.org";
