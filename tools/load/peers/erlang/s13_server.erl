%% An S13 server on Erlang's own Diameter stack, to be measured: every device is
%% blacklisted. It looks nothing up, so that a register behind it would only make
%% it slower.
%%
%% Prints "listening on tcp://127.0.0.1:PORT", and ends with its standard input.
%% The dictionary is the one of the interoperability tests.

-module(s13_server).

-export([main/0]).

%% diameter_app callbacks
-export([peer_up/3, peer_down/3, pick_peer/4, prepare_request/3,
         prepare_retransmit/3, handle_answer/4, handle_error/4,
         handle_request/3]).

-include_lib("diameter/include/diameter.hrl").

-define(SERVICE, s13_server).
-define(S13, 16#01000024).
-define(VENDOR_3GPP, 10415).

main() ->
    ok = diameter:start(),
    ok = diameter:start_service(?SERVICE, service()),
    {ok, Transport} = diameter:add_transport(?SERVICE,
        {listen, [{transport_module, diameter_tcp},
                  {transport_config, [{ip, {127, 0, 0, 1}}, {port, 0},
                                      {reuseaddr, true}, {nodelay, true}]}]}),
    [{_, Port, _}] = listener(Transport, 100),
    io:format("listening on tcp://127.0.0.1:~b~n", [Port]),
    eof = wait(),
    erlang:halt(0).

service() ->
    [{'Origin-Host', "eir.epc.mnc001.mcc001.3gppnetwork.org"},
     {'Origin-Realm', "epc.mnc001.mcc001.3gppnetwork.org"},
     {'Host-IP-Address', [{127, 0, 0, 1}]},
     {'Vendor-Id', 0},
     {'Product-Name', "Erlang"},
     {'Supported-Vendor-Id', [?VENDOR_3GPP]},
     {'Vendor-Specific-Application-Id',
      [[{'Vendor-Id', ?VENDOR_3GPP}, {'Auth-Application-Id', [?S13]}]]},
     {string_decode, false},
     {decode_format, map},
     {restrict_connections, false},
     {application, [{alias, s13}, {dictionary, s13}, {module, ?MODULE}]}].

%% The port is known a moment after the transport was added.
listener(Transport, Tries) when Tries > 0 ->
    case diameter_tcp:ports(Transport) of
        [] -> timer:sleep(50), listener(Transport, Tries - 1);
        [_] = Found -> Found
    end.

wait() ->
    case io:get_line("") of
        eof -> eof;
        _ -> wait()
    end.

%%----------- diameter_app callbacks

handle_request(#diameter_packet{msg = ['ME-Identity-Check-Request' | Request]},
               _, {_, #diameter_caps{origin_host = {Host, _},
                                     origin_realm = {Realm, _}}}) ->
    {reply, ['ME-Identity-Check-Answer' |
             #{'Session-Id' => maps:get('Session-Id', Request),
               'Auth-Session-State' => 1,
               'Origin-Host' => Host,
               'Origin-Realm' => Realm,
               'Result-Code' => 2001,
               'Equipment-Status' => 1}]}.

peer_up(_, _, State) -> State.
peer_down(_, _, State) -> State.
pick_peer(_, _, _, _) -> false.
prepare_request(Packet, _, _) -> {send, Packet}.
prepare_retransmit(Packet, _, _) -> {send, Packet}.
handle_answer(Packet, _, _, _) -> Packet.
handle_error(Reason, _, _, _) -> {error, Reason}.
