//! QEMU without KVM: an emulated machine with one of Debian's kernels, on this machine's file
//! system. Far slower than user-mode Linux, but with two processors and all of netfilter.

use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::debian::{Kernel, Unpacked};
use super::guest_dir::{GuestDir, write_script};
use crate::suite::{Report, Suite};
use crate::supervised_child;
use crate::tools::{self, output_of};

/// Init of the initramfs.
const INITRAMFS: &str = include_str!("qemu-initramfs.sh");

/// Init of the guest, started by that of the initramfs.
const INIT: &str = include_str!("qemu-init.sh");

/// Modules for reaching the machine's file system and for the writable layer on top of it.
const MODULES: &[&str] = &["virtio_pci", "9pnet_virtio", "9p", "overlay"];

/// The guest's memory in MiB. The host provides only the pages that the guest touches.
const MEMORY: u32 = 3072;

/// The processors of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Processors {
    /// Two.
    Two,
    /// One, whose clock counts its instructions: a nanosecond each.
    Counting,
}

impl Processors {
    fn args(self) -> &'static [&'static str] {
        match self {
            Self::Two => &["-accel", "tcg,thread=multi", "-smp", "2"],
            Self::Counting => &["-accel", "tcg,thread=single", "-smp", "1", "-icount", "shift=0"],
        }
    }
}

/// Boots a guest, runs the suites in it and waits for its end.
pub(super) fn run_qemu(
    kernel: Kernel,
    processors: Processors,
    suites: &[Suite],
    shown: impl Write,
) -> Result<Report> {
    let kernel = Unpacked::get_or_unpack(kernel)?;
    let guest_dir = GuestDir::make("qemu", INIT, suites)?;
    fs::write(guest_dir.path.join("modules"), kernel.modules_dir().as_os_str().as_bytes())?;
    make_initramfs(&kernel, &guest_dir.path)?;
    let boot = boot_command(&kernel, processors, &guest_dir);
    guest_dir.run_guest("QEMU", boot, suites, shown)
}

/// Makes `initrd` in the guest directory: busybox, the modules, numbered in load order, and the
/// init script.
fn make_initramfs(kernel: &Unpacked, guest_dir: &Path) -> Result<()> {
    let tree = guest_dir.join("initramfs");
    for dir in ["bin", "modules"] {
        fs::create_dir_all(tree.join(dir))?;
    }
    let busybox = tools::find_program("busybox").context("busybox is gone from PATH")?;
    let program =
        fs::read(&busybox).with_context(|| format!("cannot read {}", busybox.display()))?;
    ensure!(
        !needs_libraries(&program),
        "{} needs shared libraries, which the initramfs lacks: run `apt-get install busybox-static`",
        busybox.display()
    );
    fs::copy(&busybox, tree.join("bin/busybox"))?;
    for (number, file) in kernel.module_files(MODULES)?.iter().enumerate() {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        // Not every busybox can decompress a module.
        let text = match name.strip_suffix(".xz") {
            Some(_) => unpacked_xz(file)?,
            None => fs::read(file).with_context(|| format!("cannot read {}", file.display()))?,
        };
        fs::write(tree.join("modules").join(format!("{number:02}-{name}")), text)?;
    }
    write_script(&tree.join("init"), INITRAMFS)?;
    let pack = "cd \"$1\" && find . | busybox cpio -o -H newc >../initrd";
    output_of(Command::new("sh").args(["-c", pack, "pack"]).arg(&tree)).map(drop)
}

/// Returns true if a program names the loader of shared libraries.
fn needs_libraries(program: &[u8]) -> bool {
    let loader = b"/ld-linux";
    program.windows(loader.len()).any(|window| window == loader)
}

fn unpacked_xz(file: &Path) -> Result<Vec<u8>> {
    let output = Command::new("xz")
        .args(["--decompress", "--stdout"])
        .arg(file)
        .env("PATH", tools::search_path())
        .output()
        .context("cannot start xz")?;
    ensure!(output.status.success(), "cannot unpack {}", file.display());
    Ok(output.stdout)
}

/// Returns the command that boots the guest.
fn boot_command(kernel: &Unpacked, processors: Processors, guest_dir: &GuestDir) -> Command {
    let mut command = supervised_child::supervised_command("qemu-system-x86_64");
    command
        .args(processors.args())
        .args(["-cpu", "max", "-m", &MEMORY.to_string()])
        .args(["-display", "none", "-serial", "stdio", "-monitor", "none", "-nic", "none"])
        // A panic ends the guest.
        .arg("-no-reboot")
        .arg("-kernel")
        .arg(kernel.kernel_image())
        .arg("-initrd")
        .arg(guest_dir.path.join("initrd"))
        .arg("-append")
        // On a busy machine the timer is late, and the kernel would take it for broken and panic.
        .arg(format!(
            "console=ttyS0 panic=-1 quiet loglevel=3 mitigations=off no_timer_check vipd.guest_dir={}",
            guest_dir.path.display()
        ))
        .args([
            "-virtfs",
            "local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap",
        ])
        .arg("-virtfs")
        .arg(format!(
            "local,path={},mount_tag=out,security_model=none",
            guest_dir.out_dir().display()
        ))
        .env("PATH", tools::search_path());
    command
}
