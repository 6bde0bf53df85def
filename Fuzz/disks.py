"""File systems in image files on loop devices: what power-cuts.py and block-replay.py share.

Everything is mounted in a namespace of the script's own. Before anything is shut down or unmounted, `findmnt` says that
what is mounted there is the script's own image: shutting down the wrong file system would take the machine with it.
"""

import ctypes
import fcntl
import os
import shutil
import struct
import subprocess
import threading
import time
from pathlib import Path

MIB = 1 << 20
# EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN: _IOR('X', 125, __u32).
SHUTDOWN = 0x8004587D
FLUSH_ALL, FLUSH_LOG, FLUSH_NOTHING = 0, 1, 2

# By file system: Debian's package, the least image that mkfs makes one in, and how to make it. Nothing is discarded: that
# takes time, and what was in the image before is as good as what a used disk holds.
KINDS = {
    "ext4": ("e2fsprogs", 48 * MIB, ["mkfs.ext4", "-q", "-F", "-E", "nodiscard"]),
    "xfs": ("xfsprogs", 300 * MIB, ["mkfs.xfs", "-q", "-f", "-K"]),
    "btrfs": ("btrfs-progs", 128 * MIB, ["mkfs.btrfs", "-q", "-f", "-K"]),
}


def call(*words):
    done = subprocess.run(list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode:
        raise OSError(f"{' '.join(map(str, words))}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode().strip()


def install(*packages):
    """Debian's packages; where there is no apt-get, the first that needs one will say so."""
    if shutil.which("apt-get"):
        call("apt-get", "update", "-q")
        call("apt-get", "install", "-qy", *packages)


def why_unusable(kind, top):
    """Why such a file system cannot be made and mounted here; empty if it can."""
    package, _, make = KINDS[kind]
    try:
        if shutil.which(make[0]) is None:
            install(package)
        if not os.path.exists("/dev/loop-control"):
            return "there are no loop devices"
        disk = Disk(top, kind, "probe")
        disk.make()
        disk.mount()
        disk.unmount()
        disk.remove()
        return ""
    except OSError as error:
        return str(error)


class Writeback:
    """Lets the system write back while the `with` lasts, every few milliseconds instead of seconds: what nobody synced reaches
    the disk as it may at any time. Of the newest segment, without a flush; or, `whole`, of everything, and the journal too."""

    LIBRARY = ctypes.CDLL(None, use_errno=True)
    # SYNC_FILE_RANGE_WRITE: begin, and wait for nothing.
    BEGIN = 2

    def __init__(self, path, seconds, whole=False):
        self.path, self.seconds, self.whole, self.is_over = path, seconds, whole, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.is_over.wait(self.seconds):
            try:
                if self.whole:
                    self.write_all()
                    continue
                newest = max((name for name in os.listdir(self.path) if name.endswith(".seg")), default=None)
                if newest is None:
                    continue
                file = os.open(os.path.join(self.path, newest), os.O_RDONLY)
            except OSError:
                # Not there yet, not any more, or the disk is gone.
                continue
            self.LIBRARY.sync_file_range(file, ctypes.c_int64(0), ctypes.c_int64(0), self.BEGIN)
            os.close(file)

    def write_all(self):
        directory = os.open(self.path, os.O_RDONLY)
        self.LIBRARY.syncfs(directory)
        os.close(directory)

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join()


def build_canary(top):
    """What makes every sync do nothing, as a child's environment."""
    if not shutil.which("gcc"):
        install("gcc", "libc6-dev")
    library = Path(top) / "nosync.so"
    call("gcc", "-O2", "-Wall", "-shared", "-fPIC", "-o", library, Path(__file__).parent / "nosync.c")
    return {"LD_PRELOAD": str(library)}


class Disk:
    """An image with a file system, and where it is mounted."""

    def __init__(self, top, kind, name="disk", image=None):
        self.kind, self.path = kind, Path(top) / name
        self.image = image or Path(top) / f"{name}.image"
        self.path.mkdir(exist_ok=True)

    def make(self, *options):
        self.image.unlink(missing_ok=True)
        with open(self.image, "wb") as file:
            file.truncate(KINDS[self.kind][1])
        call(*KINDS[self.kind][2], *options, self.image)

    def mount(self, options=""):
        call("mount", "-t", self.kind, "-o", ",".join(filter(None, ["loop", options])), self.image, self.path)

    def check_own(self):
        """Raises unless what is mounted here is this image, through a loop device."""
        # The last line is what is mounted on top.
        lines = call("findmnt", "-n", "-o", "SOURCE,FSTYPE,TARGET", "--mountpoint", self.path).splitlines()
        source, kind, target = lines[-1].split()
        backing = Path(f"/sys/block/{Path(source).name}/loop/backing_file").read_text().strip()
        if (kind, target, backing) != (self.kind, str(self.path), str(self.image)):
            raise OSError(f"not our own mount: {lines[-1]}, of {backing}")

    def shut_down(self, how, gate):
        """Cuts the power. `gate` is an open descriptor of the root that was checked when it was opened."""
        fcntl.ioctl(gate, SHUTDOWN, struct.pack("I", how))

    def open_gate(self):
        self.check_own()
        return os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)

    def unmount(self):
        self.check_own()
        for attempt in range(50):
            done = subprocess.run(["umount", self.path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            if done.returncode == 0:
                return
            time.sleep(0.02)
        raise OSError(f"umount: {done.stderr.decode(errors='replace').strip()}")

    def is_mounted(self):
        # Not by stat, which a file system that was shut down answers with an error.
        with open("/proc/self/mountinfo") as file:
            return any(line.split()[4] == str(self.path) for line in file)

    def remove(self):
        if self.is_mounted():
            self.unmount()
        self.image.unlink(missing_ok=True)
        self.path.rmdir()
