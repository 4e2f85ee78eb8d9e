require ["vacation", "reject"];
reject "no";
vacation "b";
