%% An S13 client on Erlang's own Diameter stack, as an independent judge of an
%% EIR: it connects, sends a table of ME-Identity-Checks, stays for a number of
%% watchdog rounds, sends the table again, now all requests at once, and leaves.
%%
%% Each check prints one line, PASS or FAIL, each request that was answered as
%% it should be an indented one; the exit status is 0 only when all passed. The stack's decoder is part of the judgement: an answer in which it
%% finds an error (grammar, M bits, lengths, E bit) fails its check.
%%
%% Arguments are key=value, see defaults/0. The table is described in cases.txt.

-module(s13_client).

-export([main/0]).

%% diameter_app callbacks
-export([peer_up/3, peer_down/3, pick_peer/4, prepare_request/3,
         prepare_retransmit/3, handle_answer/4, handle_error/4,
         handle_request/3]).

-include_lib("diameter/include/diameter.hrl").
-include_lib("diameter/include/diameter_gen_base_rfc6733.hrl").

-define(SERVICE, weir_interop).
-define(S13, 16#01000024).
-define(VENDOR_3GPP, 10415).
-define(COMMAND_ECR, 324).
-define(COMMAND_DWR, 280).
-define(COMMAND_DPR, 282).

%% How long a connection may take to open and an answer to arrive.
-define(CONNECT_MS, 15000).
-define(ANSWER_MS, 3000).
%% How long the other end may take to start and to end a disconnect: it starts
%% when all clients are ready.
-define(LEAVE_MS, 90000).
%% RFC 3539 spreads each watchdog interval by up to this much.
-define(JITTER_MS, 2000).
-define(POLL_MS, 50).

%%----------- Entry

main() ->
    Options = maps:merge(defaults(), options(init:get_plain_arguments())),
    Result = try run(Options) of
                 Failures -> Failures
             catch
                 throw:{fatal, Format, Args} ->
                     fail(Format, Args),
                     1;
                 Class:Reason:Stack ->
                     fail("the client broke: ~0p", [{Class, Reason, Stack}]),
                     1
             end,
    erlang:halt(case Result of 0 -> 0; _ -> 1 end).

defaults() ->
    #{"host" => "127.0.0.1",
      "port" => "3868",
      %% tcp or sctp.
      "transport" => "tcp",
      "cases" => "cases.txt",
      "origin-host" => "erlang.epc.mnc001.mcc001.3gppnetwork.org",
      "origin-realm" => "epc.mnc001.mcc001.3gppnetwork.org",
      %% What the EIR calls itself: compared with its CEA and its answers.
      "server-host" => "eir.epc.mnc001.mcc001.3gppnetwork.org",
      "server-realm" => "epc.mnc001.mcc001.3gppnetwork.org",
      "watchdog-ms" => "6000",
      "rounds" => "3",
      %% The longest watchdog interval of the two ends, for the deadline.
      "round-ms" => "6000",
      %% dpr: leave by a DPR of our own; await: wait for the EIR's DPR.
      "ending" => "dpr"}.

options(Arguments) ->
    maps:from_list([option(A) || A <- Arguments]).

option(Argument) ->
    case string:split(Argument, "=") of
        [Key, Value] -> {Key, Value};
        _ -> throw({fatal, "argument without '=': ~s", [Argument]})
    end.

number(Key, Options) ->
    list_to_integer(maps:get(Key, Options)).

run(Options) ->
    Cases = read_cases(maps:get("cases", Options)),
    Peer = connect(Options),
    First = batch("one by one", [check(C, Peer) || C <- Cases]),
    Rounds = watchdog_rounds(Options),
    Again = batch("at once", at_once(Cases, Peer)),
    Left = leave(Options, Peer),
    length([F || F <- [First, Rounds, Again, Left], F =:= fail]).

%%----------- The connection

connect(Options) ->
    ok = diameter:start(),
    true = diameter:subscribe(?SERVICE),
    ok = diameter:start_service(?SERVICE, service(Options)),
    {ok, Address} = inet:getaddr(maps:get("host", Options), inet),
    {ok, _} = diameter:add_transport(?SERVICE,
        {connect,
         [{transport_module, transport_module(Options)},
          {transport_config, [{raddr, Address},
                              {rport, number("port", Options)}
                              | transport_options(Options)]},
          {connect_timer, 30000},
          {watchdog_timer, number("watchdog-ms", Options)},
          {disconnect_cb, fun(_, _, _) -> {dpr, [{cause, rebooting}]} end}]}),
    receive
        #diameter_event{info = {up, _, {Process, Caps}, _, Packet}} ->
            judge_capabilities(Process, Caps, Packet, Options);
        #diameter_event{info = {closed, _, Reason, _}} ->
            throw({fatal, "capabilities-exchange: refused: ~0p", [Reason]})
    after ?CONNECT_MS ->
            throw({fatal, "capabilities-exchange: not open after ~b ms",
                   [?CONNECT_MS]})
    end.

transport_module(#{"transport" := "tcp"}) -> diameter_tcp;
transport_module(#{"transport" := "sctp"}) -> diameter_sctp.

%% The receive buffer of SCTP is 1,5 kB otherwise: five answers, and then 200 ms
%% until the next acknowledgement opens the window again.
transport_options(#{"transport" := "tcp"}) -> [{reuseaddr, true}];
transport_options(#{"transport" := "sctp"}) -> [{recbuf, 262144}].

service(Options) ->
    [{'Origin-Host', maps:get("origin-host", Options)},
     {'Origin-Realm', maps:get("origin-realm", Options)},
     {'Vendor-Id', 0},
     {'Product-Name', "Erlang"},
     {'Supported-Vendor-Id', [?VENDOR_3GPP]},
     {'Vendor-Specific-Application-Id',
      [[{'Vendor-Id', ?VENDOR_3GPP}, {'Auth-Application-Id', [?S13]}]]},
     {string_decode, false},
     {decode_format, map},
     {application, [{alias, base},
                    {dictionary, diameter_gen_base_rfc6733},
                    {module, ?MODULE}]},
     {application, [{alias, s13},
                    {dictionary, s13},
                    {module, ?MODULE},
                    %% Decode errors are findings, not reasons to drop.
                    {answer_errors, callback}]}].

%% The peer as the rest of the run needs it: our names and the EIR's.
judge_capabilities(Process, Caps, #diameter_packet{errors = Errors} = Packet, Options) ->
    #diameter_caps{origin_host = {OurHost, TheirHost},
                   origin_realm = {OurRealm, TheirRealm},
                   host_ip_address = {_, Addresses},
                   supported_vendor_id = {_, Vendors},
                   vendor_specific_application_id = {_, Applications},
                   auth_application_id = {_, Auth}} = Caps,
    Same = fun(Key, Name) ->
                   string:equal(maps:get(Key, Options), Name, true)
           end,
    Findings =
        [{decoder, Errors} || Errors =/= []] ++
        [{origin_host, TheirHost} || not Same("server-host", TheirHost)] ++
        [{origin_realm, TheirRealm} || not Same("server-realm", TheirRealm)] ++
        [no_host_ip_address || Addresses =:= []] ++
        [no_3gpp_among_supported_vendors
         || not lists:member(?VENDOR_3GPP, Vendors)] ++
        [{supported_vendor_repeated, Vendors}
         || length(Vendors) =/= length(lists:usort(Vendors))] ++
        [no_s13 || not lists:member(?S13, Auth),
                   not lists:any(fun offers_s13/1, Applications)] ++
        header_findings(Packet#diameter_packet.header, 257, 0, false, false),
    verdict("capabilities-exchange", Findings) =:= pass
        orelse throw({fatal, "capabilities: ~0p", [Caps]}),
    #{process => Process, our_host => OurHost, our_realm => OurRealm,
      host => TheirHost, realm => TheirRealm}.

%% The decode format of the service does not reach the CEA: this is a record.
offers_s13(#'diameter_base_Vendor-Specific-Application-Id'{
              'Vendor-Id' = ?VENDOR_3GPP, 'Auth-Application-Id' = Ids}) ->
    lists:member(?S13, Ids);
offers_s13(_) ->
    false.

%%----------- Watchdog rounds

%% A round is a DWR with its successful DWA, whichever end asked. The
%% connection must be the one that was opened: any event is a failure.
watchdog_rounds(Options) ->
    Rounds = number("rounds", Options),
    Deadline = now_ms() + (Rounds + 1) * (number("round-ms", Options) + ?JITTER_MS),
    case poll_rounds(Rounds, Deadline) of
        {ok, Asked, Answered} ->
            verdict(io_lib:format("watchdog: ~b rounds asked by us, ~b by the peer",
                                  [Asked, Answered]), disturbances());
        {late, Asked, Answered} ->
            fail("watchdog: ~b of ~b rounds in time; disturbed by ~0p",
                 [Asked + Answered, Rounds, disturbances()])
    end.

poll_rounds(Rounds, Deadline) ->
    Asked = lists:min([counted(?COMMAND_DWR, 1, send),
                       answered(?COMMAND_DWR, recv)]),
    Answered = lists:min([counted(?COMMAND_DWR, 1, recv),
                          answered(?COMMAND_DWR, send)]),
    Late = now_ms() > Deadline,
    if
        Asked + Answered >= Rounds -> {ok, Asked, Answered};
        Late -> {late, Asked, Answered};
        true -> timer:sleep(?POLL_MS), poll_rounds(Rounds, Deadline)
    end.

%% The stack's own counters: messages of a command, by R bit and direction.
counted(Command, RBit, Direction) ->
    lists:sum([N || {{{0, C, R}, D}, N} <- counters(),
                    C =:= Command, R =:= RBit, D =:= Direction]).

%% Answers that said 2001.
answered(Command, Direction) ->
    lists:sum([N || {{{0, C, 0}, D, {'Result-Code', 2001}}, N} <- counters(),
                    C =:= Command, D =:= Direction]).

counters() ->
    lists:append([L || {_, L} <- diameter:service_info(?SERVICE, statistics)]).

%% What has happened to the connection since last asked: nothing, if all is well.
%% A watchdog that was ever anything but okay would show here.
disturbances() ->
    receive
        #diameter_event{info = start} -> disturbances();
        #diameter_event{info = {watchdog, _, _, {initial, okay}, _}} -> disturbances();
        #diameter_event{info = {watchdog, _, _, Change, _}} -> [Change | disturbances()];
        #diameter_event{info = Info} -> [element(1, Info) | disturbances()]
    after 0 ->
            []
    end.

%%----------- Leaving

%% The stack drops a connection's counters when the connection ends, so DPR and
%% DPA are seen by tracing what its process receives and sends.
leave(#{"ending" := Ending}, #{process := Process}) ->
    1 = erlang:trace(Process, true, [send, 'receive']),
    End = monitor(process, Process),
    Seen = case Ending of
               "dpr" ->
                   ok = diameter:remove_transport(?SERVICE, true),
                   disconnect_messages(End, []);
               "await" ->
                   io:format("READY~n"),
                   disconnect_messages(End, [])
           end,
    {Name, Wanted} = case Ending of
                         "dpr" -> {"our DPR, the peer's DPA",
                                   [{sent, dpr, 0}, {received, dpa, 2001}]};
                         "await" -> {"the peer's DPR, our DPA",
                                     [{received, dpr, 0}, {sent, dpa, 2001}]}
                     end,
    verdict(["disconnect: ", Name], wrong(messages, Wanted, Seen)).

%% DPR with its Disconnect-Cause and DPA with its Result-Code, in order, until
%% the connection's process ends.
disconnect_messages(End, Seen) ->
    receive
        {trace, _, 'receive', {diameter, {recv, Message}}} ->
            disconnect_messages(End, Seen ++ disconnect_message(received, Message));
        {trace, _, send, {diameter, {send, Message}}, _} ->
            disconnect_messages(End, Seen ++ disconnect_message(sent, Message));
        {trace, _, _, _} ->
            disconnect_messages(End, Seen);
        {trace, _, _, _, _} ->
            disconnect_messages(End, Seen);
        {'DOWN', End, process, _, _} ->
            Seen
    after ?LEAVE_MS ->
            Seen ++ [still_connected]
    end.

disconnect_message(Direction, #diameter_packet{bin = Bytes}) ->
    disconnect_message(Direction, Bytes);
disconnect_message(Direction, Bytes) ->
    case diameter_codec:decode_header(Bytes) of
        #diameter_header{cmd_code = ?COMMAND_DPR, is_request = true} ->
            [{Direction, dpr, number_in(273, Bytes)}];
        #diameter_header{cmd_code = ?COMMAND_DPR, is_request = false} ->
            [{Direction, dpa, number_in(268, Bytes)}];
        _ ->
            []
    end.

%% The first AVP with this code, an Unsigned32 or Enumerated.
number_in(Code, Bytes) ->
    #diameter_packet{avps = Avps} =
        diameter_codec:collect_avps(#diameter_packet{bin = Bytes}),
    case lists:keyfind(Code, #diameter_avp.code, Avps) of
        #diameter_avp{data = <<Number:32>>} -> Number;
        false -> none
    end.

%%----------- Cases

read_cases(File) ->
    case file:read_file(File) of
        {ok, Bytes} ->
            Lines = lists:enumerate(string:split(Bytes, "\n", all)),
            [read_case(N, Words)
             || {N, Line} <- Lines,
                Words <- [string:lexemes(hd(string:split(Line, "#")), " \t\r")],
                Words =/= []];
        {error, Reason} ->
            throw({fatal, "~s: ~s", [File, file:format_error(Reason)]})
    end.

read_case(Line, [Expected, Imei, Imsi, Sv | Changes]) ->
    #{line => Line,
      expected => expectation(Line, Expected),
      imei => optional(Imei), imsi => optional(Imsi), sv => optional(Sv),
      changes => [change(Line, C) || C <- Changes],
      name => lists:join(" ", [Expected, Imei, Imsi, Sv | Changes])};
read_case(Line, _) ->
    throw({fatal, "cases, line ~b: want EXPECTED IMEI IMSI SV [CHANGE]...", [Line]}).

expectation(_, <<"white">>) -> {status, 0};
expectation(_, <<"black">>) -> {status, 1};
expectation(_, <<"grey">>) -> {status, 2};
expectation(_, <<"unknown">>) -> unknown;
expectation(Line, Code) -> {code, digits(Line, Code)}.

optional(<<"-">>) -> none;
optional(Text) -> Text.

%% One departure from the plain request; see cases.txt.
change(Line, Word) ->
    case string:split(Word, "=") of
        [<<"destination-host">>, Name] -> {destination_host, Name};
        [<<"destination-realm">>, Name] -> {destination_realm, Name};
        [<<"without">>, Code] -> {without, digits(Line, Code)};
        [<<"optional">>, Code] -> {optional, digits(Line, Code)};
        [<<"with">>, Avp] -> {with, added(Line, string:split(Avp, ":", all))};
        [<<"command">>, Code] -> {command, digits(Line, Code)};
        [<<"application">>, Id] -> {application, digits(Line, Id)};
        _ -> throw({fatal, "cases, line ~b: unknown change ~s", [Line, Word]})
    end.

%% CODE:FLAGS:VENDOR:DATA
added(Line, [Code, Flags, Vendor, Data]) ->
    #diameter_avp{code = digits(Line, Code),
                  is_mandatory = Flags =:= <<"M">>,
                  vendor_id = case Vendor of
                                  <<"-">> -> undefined;
                                  _ -> digits(Line, Vendor)
                              end,
                  data = data(Line, Data)};
added(Line, _) ->
    throw({fatal, "cases, line ~b: want with=CODE:FLAGS:VENDOR:DATA", [Line]}).

%% Text as it is, or octets in hexadecimal behind 0x.
data(Line, <<"0x", Hex/binary>>) ->
    try binary:decode_hex(Hex)
    catch error:badarg ->
            throw({fatal, "cases, line ~b: 0x~s is not hexadecimal", [Line, Hex]})
    end;
data(_, Text) ->
    Text.

digits(Line, Text) ->
    try binary_to_integer(Text)
    catch error:badarg ->
            throw({fatal, "cases, line ~b: ~s is not a number", [Line, Text]})
    end.

%%----------- One check

check(#{name := Name} = Case, Peer) ->
    Session = iolist_to_binary(diameter:session_id(maps:get(our_host, Peer))),
    Request = request(Case, Session, Peer),
    Findings = case diameter:call(?SERVICE, s13, Request, [{timeout, ?ANSWER_MS}]) of
                   {answer, Packet} -> judge(Packet, Case, Session, Peer);
                   Other -> [Other]
               end,
    detail(Name, Findings).

%% The requests of a table together; each one's line has been printed.
batch(How, Verdicts) ->
    case length([F || F <- Verdicts, F =:= fail]) of
        0 -> verdict(io_lib:format("~b requests, ~s", [length(Verdicts), How]), []);
        N -> fail("~b of ~b requests, ~s", [N, length(Verdicts), How])
    end.

%% All at once, which on one connection means pipelined and answered in any order.
at_once(Cases, Peer) ->
    Self = self(),
    Pids = [spawn_link(fun() -> Self ! {self(), check(C, Peer)} end)
            || C <- Cases],
    [receive {Pid, Verdict} -> Verdict end || Pid <- Pids].

%% A plain request is left to the stack's encoder; a changed one is put together
%% from AVPs, because the encoder rightly refuses what breaks the grammar.
request(#{changes := []} = Case, Session, Peer) ->
    ['ME-Identity-Check-Request' |
     #{'Session-Id' => Session,
       'Auth-Session-State' => 1,
       'Origin-Host' => maps:get(our_host, Peer),
       'Origin-Realm' => maps:get(our_realm, Peer),
       'Destination-Realm' => maps:get(realm, Peer),
       'User-Name' => listed(maps:get(imsi, Case)),
       'Terminal-Information' =>
           #{'IMEI' => listed(maps:get(imei, Case)),
             'Software-Version' => listed(maps:get(sv, Case))}}];
request(#{changes := Changes} = Case, Session, Peer) ->
    Terminal = [avp(1402, 10415, V) || V <- listed(maps:get(imei, Case))] ++
               [avp(1403, 10415, V) || V <- listed(maps:get(sv, Case))],
    Avps = [avp(263, Session),
            avp(277, <<1:32>>),
            avp(264, maps:get(our_host, Peer)),
            avp(296, maps:get(our_realm, Peer))] ++
           [avp(293, Name) || {destination_host, Name} <- Changes] ++
           [avp(283, proplists:get_value(destination_realm, Changes,
                                         maps:get(realm, Peer))),
            avp(1401, 10415, octets(changed(Terminal, Changes)))] ++
           [avp(1, V) || V <- listed(maps:get(imsi, Case))],
    [#diameter_header{cmd_code = proplists:get_value(command, Changes, ?COMMAND_ECR),
                      application_id = proplists:get_value(application, Changes, ?S13),
                      is_request = true,
                      is_proxiable = true,
                      is_error = false,
                      is_retransmitted = false}
     | changed(Avps, Changes) ++ [Avp || {with, Avp} <- Changes]].

changed(Avps, Changes) ->
    [case lists:member({optional, Code}, Changes) of
         true -> Avp#diameter_avp{is_mandatory = false};
         false -> Avp
     end
     || #diameter_avp{code = Code} = Avp <- Avps,
        not lists:member({without, Code}, Changes)].

listed(none) -> [];
listed(Text) -> [Text].

avp(Code, Data) ->
    avp(Code, undefined, Data).

avp(Code, Vendor, Data) ->
    #diameter_avp{code = Code, vendor_id = Vendor, is_mandatory = true,
                  data = iolist_to_binary(Data)}.

%% AVPs as the data of a group: RFC 6733 clause 4.1, padding included.
octets(Avps) ->
    << <<(octets_of(A))/binary>> || A <- Avps >>.

octets_of(#diameter_avp{code = Code, vendor_id = Vendor, is_mandatory = M, data = Data}) ->
    {V, Id} = case Vendor of undefined -> {0, <<>>}; N -> {1, <<N:32>>} end,
    Flag = case M of true -> 1; false -> 0 end,
    Length = 8 + byte_size(Id) + byte_size(Data),
    Padding = (4 - Length rem 4) rem 4,
    <<Code:32, V:1, Flag:1, 0:6, Length:24, Id/binary, Data/binary, 0:(8 * Padding)>>.

%%----------- Judging an answer

judge(#diameter_packet{header = Header, avps = Avps, msg = [_ | Answer],
                       errors = Errors},
      #{expected := Expected, changes := Changes}, Session, Peer) ->
    ProtocolError = protocol_error(Expected),
    [{decoder, Errors} || Errors =/= []] ++
        header_findings(Header,
                        proplists:get_value(command, Changes, ?COMMAND_ECR),
                        proplists:get_value(application, Changes, ?S13),
                        true, ProtocolError) ++
        wrong('Session-Id', session(Session, Changes), one(maps:get('Session-Id', Answer, []))) ++
        wrong('Origin-Host', maps:get(host, Peer), maps:get('Origin-Host', Answer, none)) ++
        wrong('Origin-Realm', maps:get(realm, Peer), maps:get('Origin-Realm', Answer, none)) ++
        [F || not ProtocolError,
              F <- wrong('Auth-Session-State', 1, maps:get('Auth-Session-State', Answer, none))] ++
        %% RFC 6733 clause 6.2: every one, unchanged, in the same order.
        wrong('Proxy-Info', proxies([Avp || {with, Avp} <- Changes]), proxies(Avps)) ++
        result_findings(Expected, Answer);
judge(#diameter_packet{} = Packet, _, _, _) ->
    [{undecodable, Packet}].

%% The data of each Proxy-Info. A decoded group is a list, the group's AVP first.
proxies(Avps) ->
    [Data || #diameter_avp{code = 284, data = Data}
                 <- [case Avp of [Group | _] -> Group; _ -> Avp end || Avp <- Avps]].

session(Session, Changes) ->
    case lists:member({without, 263}, Changes) of
        true -> none;
        false -> Session
    end.

protocol_error({code, Code}) -> Code div 1000 =:= 3;
protocol_error(_) -> false.

header_findings(#diameter_header{} = H, Command, Application, Proxiable, Error) ->
    wrong('R bit', false, H#diameter_header.is_request) ++
        wrong('P bit', Proxiable, H#diameter_header.is_proxiable) ++
        wrong('E bit', Error, H#diameter_header.is_error) ++
        wrong('T bit', false, H#diameter_header.is_retransmitted) ++
        wrong('Command-Code', Command, H#diameter_header.cmd_code) ++
        wrong('Application-Id', Application, H#diameter_header.application_id).

%% Exactly one of Result-Code and Experimental-Result, and the status just when
%% there is a verdict.
result_findings({status, Status}, Answer) ->
    results(2001, none, Answer) ++
        wrong('Equipment-Status', Status, one(maps:get('Equipment-Status', Answer, [])));
result_findings(unknown, Answer) ->
    results(none, {?VENDOR_3GPP, 5422}, Answer) ++ no_status(Answer);
result_findings({code, Code}, Answer) ->
    %% RFC 6733 clause 7.5: these name the AVP at fault.
    Named = lists:member(Code, [5001, 5004, 5005, 5008, 5009, 5014]),
    results(Code, none, Answer) ++ no_status(Answer) ++
        [no_failed_avp || Named, maps:get('Failed-AVP', Answer, []) =:= []].

results(Code, Experimental, Answer) ->
    wrong('Result-Code', Code, one(maps:get('Result-Code', Answer, []))) ++
        wrong('Experimental-Result', Experimental,
              case one(maps:get('Experimental-Result', Answer, [])) of
                  #{'Vendor-Id' := V, 'Experimental-Result-Code' := C} -> {V, C};
                  Other -> Other
              end).

no_status(Answer) ->
    wrong('Equipment-Status', none, one(maps:get('Equipment-Status', Answer, []))).

wrong(_, Same, Same) -> [];
wrong(What, Wanted, Got) -> [{What, {wanted, Wanted}, {got, Got}}].

%% An optional AVP as the map format holds it, or a required one.
one([]) -> none;
one([Value]) -> Value;
one(Value) -> Value.

%%----------- Reporting

verdict(Name, []) ->
    io:format("PASS ~ts~n", [Name]),
    pass;
verdict(Name, Findings) ->
    fail("~ts: ~0p", [Name, Findings]).

%% Like verdict, but the line of one request: many pass, and are indented.
detail(Name, []) ->
    io:format("     ok ~ts~n", [Name]),
    pass;
detail(Name, Findings) ->
    verdict(Name, Findings).

fail(Format, Args) ->
    io:format("FAIL " ++ Format ++ "~n", Args),
    fail.

now_ms() ->
    erlang:monotonic_time(millisecond).

%%----------- diameter_app callbacks

peer_up(_, _, State) ->
    State.

peer_down(_, _, State) ->
    State.

pick_peer([Peer | _], _, _, _) ->
    {ok, Peer};
pick_peer([], _, _, _) ->
    false.

prepare_request(Packet, _, _) ->
    {send, Packet}.

prepare_retransmit(Packet, _, _) ->
    {send, Packet}.

handle_answer(Packet, _, _, _) ->
    {answer, Packet}.

handle_error(Reason, _, _, _) ->
    {error, Reason}.

%% An EIR asks its clients nothing.
handle_request(_, _, _) ->
    {protocol_error, 3001}.
