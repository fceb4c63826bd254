from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper_agent import canonical, merkle

SIZES = 70  # past 64, so that a seventh level begins
LEAVES = [merkle.leaf(b"entry %d" % i) for i in range(SIZES)]


def defined(start: int, stop: int) -> bytes:
    """MTH of RFC 6962 section 2.1, word for word."""
    return _defined(start, stop)


@cache
def _defined(start: int, stop: int) -> bytes:
    n = stop - start
    if n == 0:
        return canonical.sm3(b"")
    if n == 1:
        return canonical.sm3(b"\x00" + b"entry %d" % start)
    k = 1
    while k * 2 < n:
        k *= 2
    return canonical.sm3(b"\x01" + _defined(start, start + k) + _defined(start + k, stop))


def flipped(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


def mutations(proof: list[bytes]) -> list[list[bytes]]:
    """Every part changed, dropped, doubled, and swapped with its neighbour; one part too many at either end."""
    changed = [[*proof[:i], flipped(part), *proof[i + 1 :]] for i, part in enumerate(proof)]
    dropped = [[*proof[:i], *proof[i + 1 :]] for i in range(len(proof))]
    doubled = [[*proof[: i + 1], *proof[i:]] for i in range(len(proof))]
    swapped = [[*proof[:i], proof[i + 1], proof[i], *proof[i + 2 :]] for i in range(len(proof) - 1)]
    short = [[*proof[:i], part[:-1], *proof[i + 1 :]] for i, part in enumerate(proof)]
    return [*changed, *dropped, *doubled, *swapped, *short, [*proof, LEAVES[0]], [LEAVES[0], *proof]]


def test_root_is_the_one_the_rfc_defines_for_every_size() -> None:
    for size in range(SIZES + 1):
        assert merkle.root(LEAVES[:size]) == defined(0, size)


def test_hashes_are_sm3_with_the_prefixes_of_the_rfc() -> None:
    assert merkle.EMPTY.hex() == "1ab21d8355cfa17f8e61194831e81a8f22bec8c728fefb747ed035eb5082aa2b"
    # GB/T 32905 annex A.1 is SM3("abc"); a leaf is the same with a zero before it.
    assert canonical.sm3(b"abc").hex() == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
    assert merkle.leaf(b"abc") == canonical.sm3(b"\x00abc")
    assert merkle.pair(b"abc") == canonical.sm3(b"\x01abc")


@given(st.binary(max_size=300))
def test_both_libraries_hash_alike(data: bytes) -> None:
    assert merkle._openssl_after(b"\x01")(data) == merkle._cryptography_after(b"\x01")(data)


def test_a_frontier_grown_leaf_by_leaf_has_the_root_of_every_size() -> None:
    state = merkle.Frontier()
    for size, leaf in enumerate(LEAVES):
        assert (state.size, state.root) == (size, defined(0, size))
        assert merkle.Frontier.load(size, state.dump()) == state
        assert state == merkle.frontier(LEAVES[:size])
        state = state.append(leaf)


def test_a_frontier_grows_by_whole_subtrees_too() -> None:
    for size in range(SIZES):
        for bit in (1, 2, 4, 8):
            if size % bit == 0 and size + bit <= SIZES:
                grown = merkle.frontier(LEAVES[:size]).append(merkle.root(LEAVES[size : size + bit]), bit)
                assert grown == merkle.frontier(LEAVES[: size + bit])


@pytest.mark.parametrize(("size", "leaves"), [(0, 0), (0, 3), (0, -1), (1, 2), (6, 4)])
def test_a_subtree_that_cannot_begin_here_is_refused(size: int, leaves: int) -> None:
    with pytest.raises(ValueError, match=f"a subtree of {leaves} leaves cannot begin at leaf {size}"):
        merkle.frontier(LEAVES[:size]).append(LEAVES[0], leaves)


@pytest.mark.parametrize(
    ("size", "data"), [(0, b"x"), (1, b""), (3, bytes(32)), (4, bytes(64)), (2, bytes(31)), (-1, b"")]
)
def test_bytes_that_are_no_frontier_are_refused(size: int, data: bytes) -> None:
    with pytest.raises(ValueError, match="are no frontier of a tree of"):
        merkle.Frontier.load(size, data)


def test_every_leaf_of_every_tree_has_a_proof_and_no_changed_proof_holds() -> None:
    for size in range(1, SIZES + 1):
        root = defined(0, size)
        for index in range(size):
            leaf = LEAVES[index]
            proof = merkle.inclusion(index, size, defined)
            assert merkle.includes(root, size, index, leaf, proof)
            assert not merkle.includes(flipped(root), size, index, leaf, proof)
            assert not merkle.includes(root, size, index, flipped(leaf), proof)
            assert not any(merkle.includes(root, size, index, leaf, wrong) for wrong in mutations(proof))
            others = {-1, index - 1, index ^ 1, index + 1, size - 1, size} - {index}
            assert not any(merkle.includes(root, size, other, leaf, proof) for other in others)


def test_every_tree_extends_every_earlier_one_and_no_changed_proof_holds() -> None:
    for size in range(1, SIZES + 1):
        root = defined(0, size)
        for old in range(1, size + 1):
            old_root = defined(0, old)
            proof = merkle.consistency(old, size, defined)
            assert merkle.extends(old_root, old, root, size, proof)
            assert not merkle.extends(flipped(old_root), old, root, size, proof)
            assert not merkle.extends(old_root, old, flipped(root), size, proof)
            assert not any(merkle.extends(old_root, old, root, size, wrong) for wrong in mutations(proof))


def test_a_proof_does_not_hold_between_other_sizes() -> None:
    for size in range(2, 20):
        for old in range(1, size):
            proof = merkle.consistency(old, size, defined)
            for other in range(1, size):
                if other != old:
                    assert not merkle.extends(defined(0, other), other, defined(0, size), size, proof)


def test_a_proof_does_not_hold_for_a_tree_of_another_height() -> None:
    for size in range(2, 20):
        for old in range(1, size):
            proof = merkle.consistency(old, size, defined)
            for height in range(7):
                if height != (size - 1).bit_length():
                    assert not merkle.extends(defined(0, old), old, defined(0, size), 1 << height, proof)


def test_a_leaf_and_a_proof_cut_at_another_place_do_not_hold() -> None:
    proof = merkle.inclusion(0, 4, defined)
    assert not merkle.includes(defined(0, 4), 4, 0, LEAVES[0] + proof[0][:1], [proof[0][1:], *proof[1:]])


def test_a_proof_that_goes_on_above_the_tree_does_not_hold() -> None:
    above = merkle.pair(LEAVES[0] + defined(0, 4))
    assert not merkle.includes(above, 4, 0, LEAVES[0], [*merkle.inclusion(0, 4, defined), LEAVES[0]])
    assert not merkle.includes(above, 4, 3, LEAVES[3], [*merkle.inclusion(3, 4, defined), LEAVES[0]])


def test_the_longest_proofs_are_as_long_as_the_tree_is_high() -> None:
    assert max(len(merkle.inclusion(i, 64, defined)) for i in range(64)) == 6
    assert max(len(merkle.consistency(m, 64, defined)) for m in range(1, 65)) == 7


def test_rfc_6962_section_2_1_3_gives_these_paths_for_seven_leaves() -> None:
    a, b, c, d, e, f, j = LEAVES[:7]
    g, h, i = merkle.pair(a + b), merkle.pair(c + d), merkle.pair(e + f)
    k, l = merkle.pair(g + h), merkle.pair(i + j)  # noqa: E741 - the letters of the RFC
    assert merkle.inclusion(0, 7, defined) == [b, h, l]
    assert merkle.inclusion(3, 7, defined) == [c, g, l]
    assert merkle.inclusion(4, 7, defined) == [f, j, k]
    assert merkle.inclusion(6, 7, defined) == [i, k]
    assert merkle.consistency(3, 7, defined) == [c, d, g, l]
    assert merkle.consistency(4, 7, defined) == [l]
    assert merkle.consistency(6, 7, defined) == [i, j, k]


def test_the_empty_tree_is_extended_by_every_tree_and_only_without_a_proof() -> None:
    assert merkle.extends(merkle.EMPTY, 0, defined(0, 5), 5, [])
    assert merkle.extends(merkle.EMPTY, 0, merkle.EMPTY, 0, [])
    assert not merkle.extends(LEAVES[0], 0, defined(0, 5), 5, [])
    assert not merkle.extends(merkle.EMPTY, 0, defined(0, 5), 5, [LEAVES[0]])
    assert not merkle.extends(merkle.EMPTY, 0, merkle.EMPTY, -1, [])


def test_a_tree_does_not_extend_a_larger_one() -> None:
    assert not merkle.extends(defined(0, 6), 6, defined(0, 5), 5, merkle.consistency(5, 6, defined))


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (-1, 5)])
def test_there_is_no_proof_for_a_leaf_that_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ValueError, match=f"no leaf {index} in a tree of {size}"):
        merkle.inclusion(index, size, defined)
    assert not merkle.includes(merkle.EMPTY, size, index, LEAVES[0], [])


@pytest.mark.parametrize(("old", "size"), [(0, 5), (6, 5)])
def test_there_is_no_consistency_proof_from_nothing_or_from_the_future(old: int, size: int) -> None:
    with pytest.raises(ValueError, match=f"no consistency proof from {old} to {size} leaves"):
        merkle.consistency(old, size, defined)


@given(st.integers(0, 130).flatmap(lambda size: st.tuples(st.just(size), st.sets(st.integers(0, max(size - 1, 0))))))
def test_many_leaves_have_one_proof(tree: tuple[int, set[int]]) -> None:
    size, chosen = tree
    leaves = [merkle.leaf(b"%d" % n) for n in range(size)]
    indexes = sorted(chosen) if size else []
    proof = merkle.multiple(indexes, size, lambda start, stop: merkle.root(leaves[start:stop]))
    shown = [(index, leaves[index]) for index in indexes]
    assert merkle.root_of(shown, size, proof) == merkle.root(leaves)
    if size > 1 and len(indexes) not in (0, size):
        assert len(proof) <= len(indexes) * (size - 1).bit_length()
        with pytest.raises(ValueError, match="a hash is missing"):
            merkle.root_of(shown, size, proof[:-1])
        with pytest.raises(ValueError, match="a hash too many"):
            merkle.root_of(shown, size, [*proof, proof[-1]])
    for at, (index, own) in enumerate(shown):
        changed = [*shown[:at], (index, merkle.leaf(own)), *shown[at + 1 :]]
        assert merkle.root_of(changed, size, proof) != merkle.root(leaves)


@pytest.mark.parametrize("indexes", [[3, 3], [4, 3], [7], [-1]])
def test_leaves_that_do_not_ascend_in_the_tree_have_no_proof(indexes: list[int]) -> None:
    with pytest.raises(ValueError, match="no ascending leaves"):
        merkle.multiple(indexes, 7, lambda _start, _stop: merkle.EMPTY)
    with pytest.raises(ValueError, match="no ascending leaves"):
        merkle.root_of([(index, merkle.EMPTY) for index in indexes], 7, [])
