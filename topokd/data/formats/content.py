"""The format of a file by its first bytes, whatever its name says."""

from __future__ import annotations

from pathlib import Path

from topokd.errors import DataError

_STARTS: tuple[tuple[bytes, tuple[str, ...]], ...] = (
    (b"ply\n", (".ply",)),
    (b"ply\r", (".ply",)),
    (b"# .PCD", (".pcd",)),
    (b"VERSION .7\n", (".pcd",)),
    (b"VERSION 0.7\n", (".pcd",)),
    (b"LASF", (".laz", ".las")),
    (b"\x93NUMPY", (".npy",)),
)
"""First bytes of formats that can be read, with their suffixes."""
_OTHERS = (
    (b"version https://git-lfs", "a pointer of Git LFS, not the scan: run `git lfs pull`"),
    (b"/annex/objects/", "a pointer of git-annex, not the scan: run `git annex get`"),
    (b"<!doctype html", "a web page, not the scan: the download failed; get it again"),
    (b"<html", "a web page, not the scan: the download failed; get it again"),
    (b"<?xml", "an XML document, not a scan: the download failed, or convert it"),
    (b"\xfd7zXZ\0", "packed by xz: unpack it first (unxz)"),
    (b"7z\xbc\xaf\x27\x1c", "a .7z archive: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "packed by zstd: unpack it first (unzstd)"),
    (b"\x89HDF\r\n", "an HDF5 file: convert it to .npy"),
    (b"#ROSBAG", "a ROS bag: export its clouds as .pcd"),
    (b"ASTM-E57", "an .e57 file: convert it to .las or .ply"),
    (b"%PDF", "a PDF, not a scan"),
    (b"\x04\x22\x4d\x18", "packed by lz4: unpack it first (unlz4)"),
    (b"PAR1", "a Parquet table: convert it to .npy (pandas.read_parquet)"),
    (b"ARROW1", "an Arrow (Feather) table, as of Argoverse 2: convert it to .npy (pandas.read_feather)"),
    (b"SQLite format 3", "an SQLite database, perhaps a ROS 2 bag: export its clouds as .pcd"),
    (b"\x89MCAP0", "a ROS 2 bag (MCAP): export its clouds as .pcd"),
    (b"\xd4\xc3\xb2\xa1", "a packet capture (pcap): export its clouds as .pcd with the sensor's software"),
    (b"\xa1\xb2\xc3\xd4", "a packet capture (pcap): export its clouds as .pcd with the sensor's software"),
    (b"\x4d\x3c\xb2\xa1", "a packet capture (pcap): export its clouds as .pcd with the sensor's software"),
    (b"\x0a\x0d\x0d\x0a", "a packet capture (pcapng): export its clouds with the sensor's software"),
    (b"MATLAB 5.0 MAT-file", "a MATLAB file: convert it to .npy (scipy.io.loadmat)"),
    (b"DRACO", "packed by Draco: convert it to .ply"),
    (b"II*\0", "a picture (TIFF), not a scan"),
    (b"\x7fELF", "a program, not a scan"),
    (b"outs:\n- md5", "a pointer of DVC, not the scan: run `dvc pull`"),
    (b"<error>", "an error message of a server, not the scan: the download failed; get it again"),
    (b'{"', "JSON, not a scan: an error message of a server, or points to be saved as .npy"),
    (b"\x89PNG\r\n", "a picture (PNG), not a scan"),
    (b"\xff\xd8\xff\xe0", "a picture (JPEG), not a scan"),
    (b"\xff\xd8\xff\xe1", "a picture (JPEG), not a scan"),
)
"""First bytes of files that are mistaken for scans, and what to say about them."""
_TEXT = frozenset(b"\t\r\n") | frozenset(range(32, 127))
_LOOKED_AT = 4096


def format_of_content(path: Path) -> tuple[str, ...] | None:
    """The suffixes that the content of a file may have; None if its first bytes do not say it.

    Args:
        path: a file.

    Raises:
        DataError: the content is certainly no scan: a web page, a pointer of Git LFS, an archive, a table of text.

    Examples:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "scan.bin"
        >>> _ = path.write_bytes(b"ply\\nformat ascii 1.0\\n")
        >>> format_of_content(path)
        ('.ply',)
    """
    with path.open("rb") as stream:
        start = stream.read(_LOOKED_AT)
    for beginning, suffixes in _STARTS:
        if start.startswith(beginning):
            return suffixes
    if start.startswith(b"PK\x03\x04"):
        if path.suffix.lower() == ".npz" or b".npy" in start[:300]:
            return (".npz",)
        if b"/data.pkl" in start[:300]:
            raise DataError(f"{path} holds weights of a network (torch), not a scan")
        raise DataError(f"{path} is a .zip archive: unpack it first")
    if start[257:262] == b"ustar":
        raise DataError(f"{path} is a .tar archive: unpack it first")
    lower = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for beginning, words in _OTHERS:
        if start.startswith(beginning) or lower.startswith(beginning):
            raise DataError(f"{path} is {words}")
    if _is_pickle(start):
        raise DataError(
            f"{path} is a pickle, which can run arbitrary code when loaded: it was not opened; save a plain array of "
            "numbers (n, 4): numpy.save(path, xyz_and_intensity.astype('f4'))"
        )
    if start.startswith(b"\x1f\x8b\x08") and start[3:4] < b"\x20":  # flags; as a number it would be 1e-20 at most
        raise DataError(f"{path} is packed by gzip: unpack it first (gunzip)")
    if start.startswith(b"BZh") and start[4:10] == b"1AY&SY":
        raise DataError(f"{path} is packed by bzip2: unpack it first (bunzip2)")
    ends = start.count(b"\n")
    if ends >= 4 and start.count(b"\r\n") == ends and b"\0" in start:
        raise DataError(
            f"{path} was changed as if it were text (\\n became \\r\\n, by FTP, git or an editor): copy it again, in "
            "binary mode"
        )
    text = start.removeprefix(b"\xef\xbb\xbf")  # the byte order mark of UTF-8
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):  # and of UTF-16, whose Latin letters have a byte 0 each
        text = text[2:].replace(b"\0", b"")
    if path.suffix.lower() == ".bin" and len(text) > 32 and set(text) <= _TEXT:
        raise DataError(
            f"{path} is a table of text: save its numbers in binary, "
            "numpy.loadtxt(path, delimiter=...).astype('f4').tofile(new), or as .npy"
        )
    return None


def _is_pickle(start: bytes) -> bool:
    """Whether a file begins as Python's pickles of protocols 2 to 5 do, so far that numbers hardly ever would."""
    if len(start) < 12 or start[0] != 0x80:
        return False
    if start[1] in (4, 5):
        return start[2] == 0x95 and start[7:11] == bytes(4)  # the size of the first frame, 8 bytes
    return start[1] in (2, 3) and start[2:5] in (b"}q\0", b"]q\0", b"cnu", b"c__", b"cco", b"cto")
