"""A virtual machine for one test: Debian's cloud kernel, busybox, and the programs under test.

Nothing is installed: the kernel's package is downloaded and unpacked into a directory beside the
builds.  The machine has no network and no device of this one; its AF_VSOCK ends in itself.
"""

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "mount"))
from harness import BUILD, binary  # noqa: E402

CACHE = Path(os.environ.get("VSOCKFS_VM_CACHE", BUILD.parent / "vm"))
MODULES = ["net/vmw_vsock/vsock", "net/vmw_vsock/vmw_vsock_virtio_transport_common",
           "net/vmw_vsock/vsock_loopback", "fs/fuse/fuse"]
TIME_LIMIT = 120  # seconds for the machine, from power on to off


def apt(*argv, **more):
    return subprocess.run(argv, check=True, capture_output=True, text=True, **more).stdout


def kernel_package():
    """The package that linux-image-cloud-amd64 stands for now."""
    found = re.findall(r"Depends: (linux-image-\S+-cloud-amd64)",
                       apt("apt-cache", "depends", "linux-image-cloud-amd64"))
    return found[0] if found else None


def kernel():
    """The directory of an unpacked kernel package."""
    for image in sorted(CACHE.glob("*/boot/vmlinuz-*")):
        return image.parents[1]
    CACHE.mkdir(parents=True, exist_ok=True)
    try:
        package = kernel_package()
        if not package:
            raise LookupError
        apt("apt-get", "-q", "download", package, cwd=CACHE)
    except (subprocess.CalledProcessError, LookupError):  # no package lists, or old ones
        root = [] if os.geteuid() == 0 else ["sudo", "-n"]
        apt(*root, "apt-get", "-q", "update")
        package = kernel_package()
        apt("apt-get", "-q", "download", package, cwd=CACHE)
    archive = next(CACHE.glob(f"{package}_*.deb"))
    unpacked = CACHE / "unpacking"
    shutil.rmtree(unpacked, ignore_errors=True)
    apt("dpkg", "-x", archive, unpacked)
    archive.unlink()
    unpacked.rename(CACHE / package)
    return CACHE / package


def libraries(program):
    """What a program is linked with, the loader included; none for a static one."""
    done = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    return re.findall(r"(?:=> )?(/\S+) \(0x", done.stdout) if done.returncode == 0 else []


class Cpio:
    """An archive in the format that the kernel unpacks (newc)."""

    def __init__(self):
        self.data, self.names = bytearray(), set()

    def add(self, name, mode, content=b""):
        if name in self.names:
            return
        self.names.add(name)
        parent = os.path.dirname(name)
        if parent:
            self.add(parent, stat.S_IFDIR | 0o755)
        self.entry(name, mode, content)

    def entry(self, name, mode, content=b""):
        encoded = name.encode() + b"\0"
        fields = (len(self.names), mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
        self.data += b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        self.data += bytes(-len(self.data) % 4) + content
        self.data += bytes(-len(self.data) % 4)

    def program(self, source, name):
        self.add(name, stat.S_IFREG | 0o755, Path(source).read_bytes())
        for library in libraries(source):
            self.add(library.lstrip("/"), stat.S_IFREG | 0o755, Path(library).read_bytes())

    def finish(self):
        self.entry("TRAILER!!!", 0)
        return bytes(self.data)


def initramfs(kernel_tree, init):
    cpio = Cpio()
    cpio.program("/bin/busybox", "bin/busybox")
    cpio.add("bin/sh", stat.S_IFLNK | 0o777, b"busybox")
    cpio.program(binary("vsockfs"), "bin/vsockfs")
    cpio.program(binary("vsockfs-agent"), "bin/vsockfs-agent")
    cpio.program(shutil.which("fusermount3"), "bin/fusermount3")
    base = next(kernel_tree.glob("lib/modules/*/kernel"))
    for module in MODULES:
        cpio.add(f"modules/{os.path.basename(module)}.ko", stat.S_IFREG | 0o644,
                 (base / f"{module}.ko").read_bytes())
    cpio.add("init", stat.S_IFREG | 0o755, Path(init).read_bytes())
    for name in ("proc", "sys", "dev", "etc"):
        cpio.add(name, stat.S_IFDIR | 0o755)
    cpio.add("etc/passwd", stat.S_IFREG | 0o644, b"root::0:0:root:/:/bin/sh\n")
    return cpio.finish()


def boot(folder, init):
    """Runs the machine to its end, or to the time limit; what it said on its console."""
    tree = kernel()
    image = next(tree.glob("boot/vmlinuz-*"))
    archive = Path(folder) / "initramfs"
    archive.write_bytes(initramfs(tree, init))
    command = ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "768", "-smp", "2",
               "-nodefaults", "-nographic", "-no-reboot", "-serial", "stdio", "-monitor", "none",
               "-nic", "none", "-kernel", str(image), "-initrd", str(archive),
               "-append", "console=ttyS0 quiet panic=-1 tsc=reliable mitigations=off"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=TIME_LIMIT, check=False)
        return done.stdout.decode(errors="replace").replace("\r", "")
    except subprocess.TimeoutExpired as late:
        return (late.stdout or b"").decode(errors="replace").replace("\r", "") + \
            f"\n(ended after {TIME_LIMIT} s)\n"
    finally:
        archive.unlink()


def results(console):
    """The machine's findings by name (see init)."""
    lines = [line[line.index("RESULT "):] for line in console.splitlines() if "RESULT " in line]
    return dict((line.split(" ", 2) + [""])[1:3] for line in lines)
