"""From text to shards: every document's tokens are those of the tokenizer's own library, whatever the input and the workers."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from auscult.cli import main
from auscult.data import BadData
from auscult.data.draw import drawn_for_validation
from auscult.data.prepare import Prepared, PrepareSettings, prepare
from auscult.errors import UsageError
from token_files import contents, documents_of, stored_tokens, write_jsonl

TEXTS = [
    "first document\nof two lines",
    "",
    "zweites: ä€𝄞",
    "third <|endoftext|> not a separator",
    "x" * 40,
    "  ends in blanks  \n\n",
]


def prepared(inputs: Sequence[Path], output: Path, tokenizer: str = "bytes", **more: Any) -> Prepared:
    more = {"val_share": 0.5, "workers": 1, "val_noise": 1e9, **more}
    return prepare([str(path) for path in inputs], output, PrepareSettings(tokenizer, **more))


def all_documents(folder: Path, separator: int) -> list[list[int]]:
    return [d for split in ("train", "val") for d in documents_of(stored_tokens(folder, split), separator)]


def as_bytes(texts: Sequence[str]) -> list[list[int]]:
    return sorted(list(text.encode()) for text in texts if text)


def write_parquet(
    path: Path, texts: Sequence[str | None], row_group: int = 2, column: str = "text", kind: str = "string"
) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    values = pa.array(texts, {"string": pa.string(), "large": pa.large_string(), "binary": pa.binary()}[kind])
    if kind == "dictionary":
        values = values.dictionary_encode()
    pq.write_table(pa.table({"id": list(range(len(texts))), column: values}), path, row_group_size=row_group)
    return path


def test_every_format_gives_the_same_documents(tmp_path: Path) -> None:
    """Text files, JSON lines, both packed, and Parquet: the bytes of each document come out, each behind a separator."""
    folder = tmp_path / "texts"
    folder.mkdir()
    for number, text in enumerate(TEXTS):
        (folder / f"{number}.txt").write_text(text, encoding="utf-8", newline="")
    jsonl = write_jsonl(tmp_path / "a.jsonl", TEXTS)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(jsonl.read_bytes()))
    frames = [zstandard.ZstdCompressor().compress(half) for half in (jsonl.read_bytes()[:50], jsonl.read_bytes()[50:])]
    (tmp_path / "a.jsonl.zst").write_bytes(b"".join(frames))
    inputs = [folder, jsonl, tmp_path / "a.jsonl.gz", tmp_path / "a.jsonl.zst"]
    inputs += [
        write_parquet(tmp_path / f"{kind}.parquet", [*TEXTS, None], kind=kind) for kind in ("string", "large", "binary")
    ]
    for number, path in enumerate(inputs):
        output = tmp_path / f"out{number}"
        manifest = prepared([path], output).manifest
        assert sorted(all_documents(output, 256)) == as_bytes(TEXTS), path
        assert sum(split.documents for split in manifest.splits.values()) == 5
        assert manifest.empty_documents == (2 if path.suffix == ".parquet" else 1)
        assert manifest.text_bytes == sum(len(text.encode()) for text in TEXTS)


@pytest.mark.parametrize("unit_bytes", [1, 7, 100, 1 << 20])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_blank_lines_keep_documents_apart(tmp_path: Path, unit_bytes: int, newline: str) -> None:
    """Documents between blank lines are those that a regular expression over the whole text finds, however it is read."""
    text = "\n\n \none\ntwo\n\nthree  \n \t\n\n\n  four\nfive\n   \nsix\n\n".replace("\n", newline)
    path = tmp_path / "a.txt"
    path.write_text(text, encoding="utf-8", newline="")
    prepared([path], tmp_path / "out", documents_by="blank-lines", unit_bytes=unit_bytes)
    wanted = [d.strip(newline) for d in re.split(r"(?:^|\n)(?:[ \t\r]*\n)+", text) if d.strip()]
    assert len(wanted) == 4
    assert sorted(all_documents(tmp_path / "out", 256)) == as_bytes(wanted)


def test_tokenizers_agrees(tmp_path: Path, corpus: Path, tokenizer_json: Path) -> None:
    """The tokens of each file are what the tokenizers library makes of it, and decode to the file again."""
    from tokenizers import Tokenizer

    manifest = prepared([corpus], tmp_path / "out", str(tokenizer_json), shard_tokens=10_007).manifest
    tokenizer = Tokenizer.from_file(str(tokenizer_json))
    texts = [path.read_text("utf-8") for path in sorted(corpus.rglob("*.txt"))]
    separator = tokenizer.token_to_id("<|endoftext|>")
    assert separator is not None
    found = all_documents(tmp_path / "out", separator)
    assert sorted(found) == sorted(tokenizer.encode(text).ids for text in texts)
    assert sorted(tokenizer.decode(ids) for ids in found) == sorted(texts)
    assert manifest.tokenizer.separator == separator
    assert manifest.tokenizer.sha256 == hashlib.sha256(tokenizer_json.read_bytes()).hexdigest()
    assert (tmp_path / "out" / "tokenizer.json").read_bytes() == tokenizer_json.read_bytes()
    sizes = [shard.tokens for split in manifest.splits.values() for shard in split.shards[:-1]]
    assert set(sizes) == {10_007}


def test_special_tokens_in_a_document_are_text(tmp_path: Path, tokenizer_json: Path) -> None:
    """A document that quotes <|endoftext|> does not end there."""
    from tokenizers import Tokenizer

    path = write_jsonl(tmp_path / "a.jsonl", ["a <|endoftext|> b", "c"])
    prepared([path], tmp_path / "out", str(tokenizer_json.parent))
    tokenizer = Tokenizer.from_file(str(tokenizer_json))
    found = all_documents(tmp_path / "out", tokenizer.token_to_id("<|endoftext|>") or 0)
    assert sorted(tokenizer.decode(ids) for ids in found) == ["a <|endoftext|> b", "c"]


def test_truncation_and_padding_of_a_tokenizer_json_are_not_applied(tmp_path: Path, tokenizer_json: Path) -> None:
    """A tokenizer.json saved from fine-tuning cuts at 512 tokens and pads; documents are whole all the same."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_json))
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=16)
    tokenizer.save(str(tmp_path / "cutting.json"))
    text = "import os\n" * 50
    prepared([write_jsonl(tmp_path / "a.jsonl", [text, "x"])], tmp_path / "out", str(tmp_path / "cutting.json"))
    assert sorted(tokenizer.decode(d) for d in all_documents(tmp_path / "out", 0)) == sorted([text, "x"])


def test_tiktoken_agrees(tmp_path: Path, corpus: Path, tokenizer_json: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tokens of each file are what tiktoken's encode_ordinary gives, with the separator before it; uint32 where needed."""
    tiktoken = pytest.importorskip("tiktoken")
    from tokenizers import pre_tokenizers

    letters = {c: b for b, c in _bytes_to_unicode().items()}
    assert set(letters) == set(pre_tokenizers.ByteLevel.alphabet())
    ranks = {bytes([b]): b for b in range(256)}
    for left, right in json.loads(tokenizer_json.read_text())["model"]["merges"]:
        ranks.setdefault(bytes(letters[c] for c in left + right), len(ranks))
    pattern = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""
    for number, end in enumerate((len(ranks), 70_000)):
        name = f"stdlib{number}"
        encoding = tiktoken.Encoding(
            name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": end}
        )
        monkeypatch.setitem(tiktoken.registry.ENCODINGS, name, encoding)
        monkeypatch.setattr(tiktoken, "list_encoding_names", lambda: ["stdlib0", "stdlib1"])
        manifest = prepared([corpus], tmp_path / name, name).manifest
        texts = [path.read_text("utf-8") for path in corpus.rglob("*.txt")]
        assert manifest.dtype == ("uint16", "uint32")[number]
        assert manifest.tokenizer.vocab_size == end + 1
        found = all_documents(tmp_path / name, end)
        assert sorted(found) == sorted(encoding.encode_ordinary(text) for text in texts)
    assert (
        len(
            {
                json.loads((tmp_path / n / "manifest.json").read_text())["tokenizer"]["sha256"]
                for n in ("stdlib0", "stdlib1")
            }
        )
        == 2
    )


def _bytes_to_unicode() -> dict[int, str]:
    """GPT-2's table: printable bytes stand for themselves, the others for letters from 256 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(256 + i) for i, b in enumerate(others)}}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_pieces_change_no_token(
    tmp_path: Path, corpus: Path, tokenizer_json: Path, monkeypatch: pytest.MonkeyPatch, newline: str
) -> None:
    """A document longer than a piece has the tokens that it has in one go, from a text file and from JSON alike."""
    from tokenizers import Tokenizer

    text = newline.join("\n".join(p.read_text("utf-8") for p in sorted(corpus.rglob("*.txt"))).split("\n"))
    (tmp_path / "a.txt").write_text(text, encoding="utf-8", newline="")
    (tmp_path / "b.txt").write_text("b", encoding="utf-8")
    write_jsonl(tmp_path / "a.jsonl", [text, "b"])
    for module in ("documents", "encoding"):
        monkeypatch.setattr(f"auscult.data.{module}.PIECE_BYTES", 30_011)
    for number, inputs in enumerate((["a.txt", "b.txt"], ["a.jsonl"])):
        prepared([tmp_path / name for name in inputs], tmp_path / f"{number}", str(tokenizer_json))
    wanted = Tokenizer.from_file(str(tokenizer_json)).encode(text).ids
    for number in range(2):
        assert max(all_documents(tmp_path / f"{number}", 0), key=len) == wanted


def test_workers_and_units_change_nothing(tmp_path: Path, corpus: Path, tokenizer_json: Path) -> None:
    """One process and three, large units and small ones: the same bytes in every file, the manifest included."""
    rows = [path.read_text("utf-8") for path in sorted(corpus.rglob("*.txt"))]
    inputs = [corpus, write_jsonl(tmp_path / "a.jsonl", rows), write_parquet(tmp_path / "a.parquet", rows, 3)]
    more: dict[str, Any] = {"shard_tokens": 100_003, "val_share": 0.1}
    prepared(inputs, tmp_path / "one", str(tokenizer_json), **more)
    prepared(inputs, tmp_path / "three", str(tokenizer_json), workers=3, unit_bytes=50_000, **more)
    assert contents(tmp_path / "one") == contents(tmp_path / "three")
    assert len(contents(tmp_path / "one")) > 5


def test_the_manifest_tells_the_truth(tmp_path: Path, corpus: Path) -> None:
    """Counts, sizes, checksums and hashes are those of the files, found by other means."""
    from crc32c import crc32c

    output = tmp_path / "out"
    prepared([corpus], output, shard_tokens=123_457, val_share=0.3)
    manifest = json.loads((output / "manifest.json").read_text())
    names = []
    for split, entry in manifest["splits"].items():
        tokens = stored_tokens(output, split)
        assert entry["tokens"] == len(tokens)
        assert entry["documents"] == int((tokens == 256).sum())
        for shard in entry["shards"]:
            data = (output / shard["file"]).read_bytes()
            assert (shard["bytes"], shard["crc32c"]) == (len(data), f"{crc32c(data):08x}")
            names.append(shard["file"])
    assert sorted([*names, "manifest.json"]) == sorted(path.name for path in output.iterdir())
    files = sorted(corpus.rglob("*.txt"), key=lambda path: path.relative_to(corpus).as_posix())
    assert manifest["sources"] == [
        {
            "name": path.relative_to(corpus).as_posix(),
            "documents": 1,
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in files
    ]
    assert manifest["text_bytes"] == sum(path.stat().st_size for path in files)
    assert manifest["tokenizer"]["vocab_size"] == 257


def test_the_split_is_drawn_at_random() -> None:
    """The share is kept, no stretch is favoured, neighbours are independent, and sources and seeds draw apart."""
    n, share = 200_000, 0.1
    drawn = drawn_for_validation(1, "a.parquet", 0, n, share)
    sd = (n * share * (1 - share)) ** 0.5
    assert abs(drawn.sum() - n * share) < 4 * sd
    tenths = drawn.reshape(10, -1).sum(axis=1)
    assert ((tenths - n / 10 * share) ** 2 / (n / 10 * share * (1 - share))).sum() < 30  # chi-square, 10 degrees
    assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 5 / n**0.5
    for other in (drawn_for_validation(2, "a.parquet", 0, n, share), drawn_for_validation(1, "b.parquet", 0, n, share)):
        assert abs(np.corrcoef(drawn, other)[0, 1]) < 5 / n**0.5
    one_each = [bool(drawn_for_validation(1, f"{i}.txt", 0, 1, share)[0]) for i in range(5000)]
    assert abs(sum(one_each) - 500) < 4 * (5000 * 0.09) ** 0.5


def test_the_split_of_a_document_depends_on_no_other(tmp_path: Path, corpus: Path) -> None:
    """With more files, in another order, or with a larger share, what validated validates still."""
    first = write_jsonl(tmp_path / "a.jsonl", [f"document {i} of a" for i in range(300)])
    second = write_jsonl(tmp_path / "b.jsonl", [f"document {i} of b" for i in range(300)])

    def val(output: str, *inputs: Path, share: float = 0.2) -> set[str]:
        prepared(inputs, tmp_path / output, val_share=share)
        return {bytes(d).decode() for d in documents_of(stored_tokens(tmp_path / output, "val"), 256)}

    alone, both, turned = val("1", first), val("2", first, second), val("3", second, first)
    assert alone == {text for text in both if text.endswith(" a")}
    assert both == turned
    assert 30 < len(alone) < 90
    assert both < val("4", first, second, share=0.4)
    with (tmp_path / "a.jsonl").open("a") as stream:
        stream.write('{"text": "one more of a"}\n')
    assert alone <= val("5", first)


def test_val_tokens_gives_about_so_many(tmp_path: Path, corpus: Path) -> None:
    """A wanted number of validation tokens is met within what drawing documents allows, packed inputs included."""
    rows = [f"{i} " + "word " * (i % 50) for i in range(8000)]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
    parquet = write_parquet(tmp_path / "c.parquet", rows, 500)
    for number, one in enumerate((path, tmp_path / "b.jsonl.gz", parquet)):
        manifest = prepared([one], tmp_path / f"{number}", val_share=None, val_tokens=100_000).manifest
        assert 85_000 < manifest.splits["val"].tokens < 115_000
        assert manifest.split_drawn["val_tokens_wanted"] == 100_000
    with pytest.raises(UsageError, match="--val-tokens: the inputs have about 1,0"):
        prepared([path], tmp_path / "x", val_share=None, val_tokens=5_000_000)


def test_limit_tokens_stops_after_the_document_that_reaches_it(tmp_path: Path) -> None:
    """Documents of ten tokens and a limit of 95: ten documents, in the order of the input, for any size of units."""
    path = write_jsonl(tmp_path / "a.jsonl", [f"doc {i:05d}" for i in range(1000)])
    for unit in (1, 200, 1 << 20):
        prepared([path], tmp_path / f"{unit}", limit_tokens=95, unit_bytes=unit)
        assert sorted(bytes(d).decode() for d in all_documents(tmp_path / f"{unit}", 256)) == [
            f"doc {i:05d}" for i in range(10)
        ]


def test_separators(tmp_path: Path, tokenizer_json: Path) -> None:
    """None, a number, a token by name; and one that does not exist is refused with what there is."""
    path = write_jsonl(tmp_path / "a.jsonl", ["ab", "cd"])
    assert prepared([path], tmp_path / "none", separator="none").manifest.tokenizer.vocab_size == 256
    assert stored_tokens(tmp_path / "none", "train").tobytes() + stored_tokens(tmp_path / "none", "val").tobytes()
    assert prepared([path], tmp_path / "ten", separator="10").manifest.tokenizer.separator == 10
    assert len(all_documents(tmp_path / "ten", 10)) == 2
    named = prepared([path], tmp_path / "named", str(tokenizer_json), separator="<|endoftext|>")
    assert named.manifest.tokenizer.separator == 0
    for wrong in ("<eod>", "99999"):
        with pytest.raises(UsageError, match="the tokenizer has no token"):
            prepared([path], tmp_path / "x", str(tokenizer_json), separator=wrong)


def test_half_a_surrogate_pair_becomes_the_replacement_character(tmp_path: Path) -> None:
    """JSON can hold what no text can; tiktoken replaces it, and so does this."""
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "a\\ud800b"}\n')
    prepared([tmp_path / "a.jsonl"], tmp_path / "out")
    assert all_documents(tmp_path / "out", 256) == [list("a\ufffdb".encode())]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.jsonl", b'{"text": "a"}\n\n{"text": "b"\n', r"a\.jsonl:3: the line is not JSON"),
        ("a.jsonl", b'{"text": "a"}\n{"Text": "b"}\n', r"a\.jsonl:2: the line has no key 'text'.*Found Text.*--text-column"),
        ("a.jsonl", b'{"text": "a"}\n{"text": 3}\n', r"a\.jsonl:2: 'text' is no text but int"),
        ("a.json", b'[{"text": "a"}]', r"a\.json:1: the line is JSON, but a list and no object.*an object a line"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "\xff"}\n', r"a\.jsonl:2: not UTF-8: byte 0xff"),
        ("a.txt", b"one\n\ntwo\nthree \xe4\n", r"a\.txt:4: not UTF-8: byte 0xe4 .*iconv"),
        ("a.jsonl.gz", gzip.compress(b'{"text": "abc"}\n' * 999, mtime=0)[:-20], r"a\.jsonl\.gz: corrupt or cut off"),
        ("a.jsonl.gz", b'{"text": "a"}\n', r"a\.jsonl\.gz: corrupt or cut off \(Not a gzipped file"),
        ("a.jsonl.zst", zstandard.compress(b'{"text": "abc"}\n' * 9999)[:-4], r"a\.jsonl\.zst: corrupt or cut off \(the file ends"),
        ("a.jsonl.zst", b'{"text": "a"}\n', r"a\.jsonl\.zst: corrupt or cut off"),
        ("a.parquet", b"PAR1 but no more", r"a\.parquet: the Parquet file is corrupt or cut off"),
        ("a.parquet", b"", r"a\.parquet: the Parquet file is corrupt or cut off"),
        ("a.jsonl", b"", "there is no text in it, only empty documents"),
        ("a.jsonl", b'\n\n{"text": ""}\n', "there is no text in it, only empty documents"),
    ],
)  # fmt: skip
def test_a_bad_source_is_said(tmp_path: Path, name: str, data: bytes, says: str, workers: int) -> None:
    """Each is one paragraph with the file and the line, from a worker as from this process; nothing looks complete."""
    if workers == 2 and name not in ("a.jsonl", "a.txt"):
        pytest.skip("read by the parent in any case")
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadData, match=says) as caught:
        prepared([tmp_path / name], tmp_path / "out", documents_by="blank-lines", workers=workers)
    assert "\n" not in str(caught.value)
    assert "?" not in str(caught.value).replace("is the file one JSON array?", "")
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert not list((tmp_path / "out").glob("*.bin"))


def test_bad_tables_are_said(tmp_path: Path) -> None:
    """A missing column, one that is no text, a table damaged in its middle: named with what is there."""
    texts = [f"{i} " + str(hashlib.sha512(str(i).encode()).hexdigest()) * 3 for i in range(500)]
    path = write_parquet(tmp_path / "a.parquet", texts, 100, column="content")
    with pytest.raises(BadData, match=r"a\.parquet: has no column 'text'\. Found id, content\. Next: .*--text-column"):
        prepared([path], tmp_path / "out")
    with pytest.raises(BadData, match="column 'id' is no text but int64"):
        prepared([path], tmp_path / "out", text_column="id")
    assert prepared([path], tmp_path / "good", text_column="content").manifest.splits["train"].documents > 100
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle - 300 : middle + 300] = bytes(600)
    path.write_bytes(data)
    with pytest.raises(BadData, match=r"a\.parquet.*corrupt or cut off"):
        prepared([path], tmp_path / "out", text_column="content")


def test_bad_inputs_are_said(tmp_path: Path, corpus: Path) -> None:
    """Nothing there, nothing in it, twice the same, one document, other files: each is a sentence with the way out."""
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "picture.png").write_bytes(b"\x89PNG")
    one = tmp_path / "one.txt"
    one.write_text("a\n\nb")
    with pytest.raises(BadData, match="nowhere: cannot be read"):
        prepared([tmp_path / "nowhere"], tmp_path / "out")
    with pytest.raises(BadData, match=r"there is no text in it.*found 1 other files"):
        prepared([empty], tmp_path / "out")
    with pytest.raises(UsageError, match="is named twice"):
        prepared([one, one], tmp_path / "out")
    with pytest.raises(UsageError, match=r"one text file is one document.*--documents-by blank-lines"):
        prepared([one], tmp_path / "out")
    (empty / "a.txt").write_text("text")
    (empty / "b.txt").write_text("more")
    warnings = prepared([empty], tmp_path / "out").warnings
    assert any(re.search(r"1 files are left out.*picture\.png", warning) for warning in warnings)


def test_wrong_settings_are_said(tmp_path: Path, corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every nonsense on the command line is exit status 2 and one line."""
    base = ["data", "prepare", str(corpus), "--output", str(tmp_path / "out"), "--tokenizer"]
    for more, says in (
        (["bytes", "--val-share", "1"], "--val-share: expected from 0 to less than 1"),
        (["bytes", "--val-tokens", "1M", "--limit-tokens", "1M"], "leaves nothing"),
        (["bytes", "--shard-tokens", "many"], "--shard-tokens: expected an amount"),
        (["bytes", "--workers", "0"], "--workers: expected an amount"),
        (["bytes", "--val-noise", "0"], "--val-noise"),
        (["bytes", "--separator", "300"], "from 0 to 256"),
        (["./nothing.json"], "there is no file ./nothing.json"),
        (["gpt22"], "did you mean gpt2"),
        ([str(corpus)], "has no tokenizer.json"),
        ([str(next(corpus.rglob("*.txt")))], "not a tokenizer.json"),
    ):
        assert main([*base, *more]) == 2, more
        error = capsys.readouterr().err
        assert says in error
        assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_prepared_data_is_never_overwritten(tmp_path: Path, corpus: Path) -> None:
    """The same command again does nothing; another into the same folder, or a folder of something else, is refused."""
    first = prepared([corpus], tmp_path / "out")
    before = contents(tmp_path / "out")
    again = prepared([corpus], tmp_path / "out")
    assert again.already_there
    assert again.manifest == first.manifest
    for change in (
        {"seed": 2},
        {"val_share": 0.1},
        {"separator": "none"},
        {"shard_tokens": 5000},
        {"limit_tokens": 10},
    ):
        with pytest.raises(UsageError, match="holds other data already"):
            prepared([corpus], tmp_path / "out", **change)
    assert contents(tmp_path / "out") == before
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "train.bin").write_bytes(b"precious")
    with pytest.raises(UsageError, match=r"is not empty \(it has train\.bin\)"):
        prepared([corpus], tmp_path / "full")


def test_a_small_val_split_is_warned_of_with_the_right_size(tmp_path: Path, corpus: Path) -> None:
    """The size that is named is the smallest that would have passed in silence, by the sampling error of the diagnosis."""
    from auscult.facts.curve import split_sampling_error

    warnings = prepared([corpus], tmp_path / "out", val_noise=0.05, val_share=0.1).warnings
    named = re.search(r"about ([\d,]+) to ([\d,]+) tokens would do, such as --val-tokens ([\d.]+)k", warnings[0])
    assert named is not None
    least, most, option = int(named[1].replace(",", "")), int(named[2].replace(",", "")), float(named[3]) * 1000
    assert split_sampling_error(least)[0] <= 0.05 < split_sampling_error(least - 1)[0]
    assert split_sampling_error(most)[1] <= 0.05 < split_sampling_error(most - 1)[1]
    assert least * 1.04 < option < least * 1.06
    assert prepared([corpus], tmp_path / "larger", val_noise=0.05, val_share=0.5).warnings == ()
    assert "more than there are" in prepared([corpus], tmp_path / "quiet", val_noise=0.001, val_share=0.5).warnings[0]
    assert "the val split is empty" in prepared([corpus], tmp_path / "none", val_share=1e-9).warnings[0]
    assert prepared([corpus], tmp_path / "off", val_share=0, val_noise=0.001).warnings == ()


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """corpus, prepare, verify: what the documentation shows works, and verify's status tells a damaged shard."""
    text, data = tmp_path / "text", tmp_path / "data"
    assert main(["data", "corpus", "--output", str(text), "--bytes", "300k"]) == 0
    assert (
        main(["data", "prepare", str(text), "--output", str(data), "--tokenizer", "bytes", "--val-share", "0.2"]) == 0
    )
    found = capsys.readouterr()
    assert "257 tokens in the vocabulary" in found.out
    assert "the val split has" in found.err
    assert main(["data", "verify", str(data)]) == 0
    shard = data / "val_000000.bin"
    shard.write_bytes(shard.read_bytes()[:-2] + b"zz")
    assert main(["data", "verify", str(data)]) == 1
    assert "val_000000.bin: the shard is corrupt" in capsys.readouterr().err
    assert main(["data", "verify", str(tmp_path)]) == 2
    assert main(["data", "corpus", "--output", str(text)]) == 2


class FakeStream:
    """What ``datasets.load_dataset(..., streaming=True)`` returns, as far as it is used."""

    column_names = ("text", "url")

    def __init__(self, rows: list[str], breaks_at: int | None = None, first: int = 0) -> None:
        self.rows, self.breaks_at, self.first = rows, breaks_at, first

    def skip(self, count: int) -> FakeStream:
        """The rows behind the first ones."""
        return FakeStream(self.rows, self.breaks_at, self.first + count)

    def __iter__(self) -> Any:
        for number in range(self.first, len(self.rows)):
            if number == self.breaks_at:
                raise ConnectionError("reset by peer")
            yield {"text": self.rows[number], "url": "u"}


def test_a_stream_of_the_hub_goes_on_where_it_broke_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """hf:OWNER/NAME/CONFIG asks for that config; a broken connection is a paragraph, and the next run skips what is done."""
    import sys
    import types

    rows = [f"document {i}" for i in range(100)]
    asked = []
    breaks: list[int | None] = [60, None, None]

    def load_dataset(name: str, config: str | None, *, split: str, streaming: bool) -> FakeStream:
        asked.append((name, config, split, streaming))
        return FakeStream(rows, breaks.pop(0))

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    settings = PrepareSettings("bytes", val_share=0.5, workers=1, unit_bytes=100, commit_every_s=0.0, val_noise=9)
    with pytest.raises(BadData, match=r"row 61: the stream broke off \(ConnectionError: reset by peer\).*it continues"):
        prepare(["hf:Owner/name/config"], tmp_path / "out", settings)
    assert prepare(["hf:Owner/name/config"], tmp_path / "out", settings).resumed
    assert asked[0] == ("Owner/name", "config", "train", True)
    assert sorted(bytes(d).decode() for d in all_documents(tmp_path / "out", 256)) == sorted(rows)
    with pytest.raises(UsageError, match="nobody knows how much a stream holds"):
        prepare(["hf:wikitext"], tmp_path / "x", PrepareSettings("bytes", val_tokens=100))


def test_every_option_is_documented() -> None:
    """docs/cli.md names each verb of ``auscult data`` and each of its options."""
    import argparse

    from auscult.cli.data import add_data

    parser = argparse.ArgumentParser()
    add_data(parser.add_subparsers())
    (top,) = (action.choices["data"] for action in parser._actions if isinstance(action.choices, dict))
    (kinds,) = (action.choices for action in top._actions if isinstance(action.choices, dict))
    page = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text("utf-8")
    for verb, options in kinds.items():
        section = page.split(f"## `auscult data {verb} ")[1].split("\n## ")[0]
        for action in options._actions:
            for option in action.option_strings:
                assert option in ("-h", "--help") or option in section or option in page.split(section)[0][-200:], (
                    option
                )
