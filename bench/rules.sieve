# A filter as people have them: lists, shops, work, noise.
require ["fileinto", "mailbox", "envelope", "subaddress", "variables", "imap4flags", "relational",
         "comparator-i;ascii-numeric", "regex", "date", "environment"];

set "folder" "INBOX";

# Spam first.
if header :contains "X-Spam-Flag" "YES" {
  fileinto "Junk";
  stop;
}
if allof (header :value "ge" :comparator "i;ascii-numeric" "X-Spam-Score" "5",
          not header :contains "Subject" "[ticket]") {
  fileinto "Junk";
  stop;
}

# Mailing lists by their ids.
if header :matches "List-Id" "*<*.lists.example.org>*" {
  set :lower "list" "${2}";
  fileinto :create "Lists/${list}";
  stop;
}
if anyof (header :contains "List-Id" ["users.example.net", "devel.example.net"],
          address :is ["to", "cc"] ["users@example.net", "devel@example.net"]) {
  fileinto :create "Lists/devel";
  stop;
}

# Shops and banks.
if address :domain :is "from" ["shop.example", "store.example", "bank.example", "post.example"] {
  addflag "Shopping";
}
if header :regex "Subject" "(invoice|receipt|order) +(no\\.?|number)? *#?[0-9]+" {
  addflag "Invoice";
}

# Work.
if envelope :detail "to" "work" {
  set "folder" "Work";
} elsif address :contains "from" ["boss@", "hr@", "it-support@"] {
  addflag "\\Flagged";
} elsif allof (address :all :is "cc" "team@example.com",
               header :contains "Subject" ["meeting", "report"]) {
  addflag "Team";
}

# Noise at night, and what a robot says.
if anyof (header :contains "Precedence" "bulk",
          header :matches "From" ["*noreply@*", "*no-reply@*", "*donotreply@*"]) {
  addflag "\\Seen";
}
if currentdate :value "ge" "hour" "23" {
  addflag "Night";
}
if exists ["List-Unsubscribe", "X-Campaign-Id"] {
  addflag "Newsletter";
}
if not string :is "${folder}" "INBOX" {
  fileinto :create "${folder}";
}
