#!/bin/sh
# Writes captures/*.txt, what tshark makes of captures/*.pcap: the oracle of
# tests/captures.rs. Run it after adding a capture, and read the difference.
#
# One line for each Diameter message, in the order of the file:
#   frame  sender  command  flags  hop-by-hop  result  status
# sender: client or server. The server is the side with port 3868; if both
# have it, the client is the one that sent the Capabilities-Exchange-Request.
# result: the Result-Code, or exp: and the Experimental-Result-Code.
set -eu
cd "$(dirname "$0")/../captures"
for capture in *.pcap *.pcapng; do
    [ -e "$capture" ] || continue
    tshark -n -r "$capture" -T pdml 2>/dev/null | awk '
        # The value of an attribute of the current line.
        function attribute(name,    part) {
            if (!match($0, " " name "=\"[^\"]*\"")) return ""
            part = substr($0, RSTART, RLENGTH)
            sub(/^[^"]*"/, "", part); sub(/"$/, "", part)
            return part
        }
        function flush() {
            if (command == "") return
            if (command == 257 && flags ~ /^[89a-f]/ && introducer == "") introducer = source
            if (sport == 3868 && dport != 3868) sender = "server"
            else if (sport != 3868 && dport == 3868) sender = "client"
            else sender = (source == introducer) ? "client" : "server"
            print frame, sender, command, flags, hop, result, status
            command = ""
        }
        /<packet>/ { frame = source = sport = dport = "" }
        /<\/packet>/ { flush() }
        /<proto name="diameter"/ {
            flush(); flags = hop = ""; result = status = "-"
        }
        /<field name="/ {
            name = attribute("name")
            if (name == "frame.number") frame = attribute("show")
            else if (name == "ip.src" || name == "ipv6.src") source = attribute("show")
            else if (name == "tcp.srcport" || name == "sctp.srcport") sport = attribute("show")
            else if (name == "tcp.dstport" || name == "sctp.dstport") dport = attribute("show")
            else if (name == "diameter.flags") flags = substr(attribute("show"), 3)
            else if (name == "diameter.cmd.code") command = attribute("show")
            else if (name == "diameter.hopbyhopid") hop = substr(attribute("show"), 3)
            else if (name == "diameter.Result-Code") result = attribute("show")
            else if (name == "diameter.Experimental-Result-Code") result = "exp:" attribute("show")
            else if (name == "diameter.Equipment-Status") status = attribute("show")
        }
    ' > "${capture%.*}.txt"
    echo "$capture: $(wc -l < "${capture%.*}.txt") messages"
done
