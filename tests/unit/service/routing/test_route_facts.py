"""Our route and another llmbase's, put together."""

from llmbase.v1 import chat_completion_pb2 as pb

from service.routing import route_facts

OURS = pb.RouteFacts(requested_model="m", served_model="m", provider="far", attempts=2)
THEIRS = pb.RouteFacts(requested_model="x", served_model="x", provider="acme", attempts=3)


def _fallen_back(route, *chain):
    fallen = pb.RouteFacts()
    fallen.CopyFrom(route)
    fallen.served_model = chain[-1]
    fallen.fallback_applied = True
    fallen.fallback_reason = "model_unavailable"
    fallen.fallback_chain.extend(chain)
    return fallen


def test_without_another_llmbase_the_route_is_ours():
    assert route_facts.joined(OURS, None) == OURS
    assert route_facts.joined(OURS, pb.RouteFacts()) == OURS


def test_the_provider_is_named_with_theirs_and_the_attempts_add_up():
    joined = route_facts.joined(OURS, THEIRS)
    assert joined == pb.RouteFacts(
        requested_model="m", served_model="m", provider="far/acme", attempts=4
    )
    assert (OURS.provider, OURS.attempts) == ("far", 2)


def test_a_chain_of_three_names_all_of_them():
    further = pb.RouteFacts(provider="far/acme", attempts=1)
    assert route_facts.joined(OURS, further).provider == "far/far/acme"


def test_their_fallback_is_said_and_the_model_keeps_our_name():
    joined = route_facts.joined(OURS, _fallen_back(THEIRS, "x", "y"))
    assert (joined.requested_model, joined.served_model) == ("m", "m")
    assert joined.fallback_applied
    assert joined.fallback_reason == "model_unavailable"
    assert list(joined.fallback_chain) == ["m", "y"]


def test_their_fallback_goes_on_from_ours():
    joined = route_facts.joined(_fallen_back(OURS, "m", "n"), _fallen_back(THEIRS, "x", "y"))
    assert joined.served_model == "n"
    assert list(joined.fallback_chain) == ["m", "n", "y"]


def test_our_fallback_stays_when_there_is_none_of_theirs():
    ours = _fallen_back(OURS, "m", "n")
    assert list(route_facts.joined(ours, THEIRS).fallback_chain) == ["m", "n"]


def test_what_either_has_left_out_is_named_once():
    ours, theirs = pb.RouteFacts(ignored_parameters=["seed"]), pb.RouteFacts()
    theirs.ignored_parameters.extend(["user", "seed", "user"])
    assert list(route_facts.joined(ours, theirs).ignored_parameters) == ["seed", "user"]
    assert list(route_facts.joined(pb.RouteFacts(), theirs, silent=True).ignored_parameters) == []


def test_what_they_say_can_stand_in_a_header():
    theirs = _fallen_back(THEIRS, "x", *(f"y{i},\r\nSet-Cookie: é" for i in range(1000)))
    theirs.provider = "a\r\n" + "b" * 5000
    theirs.ignored_parameters.extend("p" * 1000 for _ in range(3))
    joined = route_facts.joined(OURS, theirs)
    names = [joined.provider, *joined.fallback_chain, *joined.ignored_parameters]
    assert all(name.isascii() and name.isprintable() and "," not in name for name in names)
    assert sum(map(len, names)) < 4096
