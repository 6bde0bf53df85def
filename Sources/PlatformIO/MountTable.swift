/// Which file system is mounted where, as Linux tells in /proc/self/mountinfo.
package struct MountTable {
  /// FUSE may be anything, and is let pass.
  private static let remoteTypes: Set<Substring> = [
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "coda", "lustre", "ocfs2", "gfs2",
    "glusterfs", "ncpfs",
    "fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.ceph",
  ]

  private let types: [Substring: Substring]

  package init(_ text: String) {
    var types: [Substring: Substring] = [:]
    for line in text.split(separator: "\n") {
      // 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
      let fields = line.split(separator: " ")
      guard fields.count > 6, let dash = fields.firstIndex(of: "-"), dash + 1 < fields.count else { continue }
      types[fields[2]] = fields[dash + 1]
    }
    self.types = types
  }

  /// Is the file system of a device, by its number, shared with other machines?
  package func isRemote(device: UInt64) -> Bool {
    let major = (device >> 8) & 0xFFF | (device >> 32) & ~0xFFF
    let minor = device & 0xFF | (device >> 12) & 0xFFFF_FF00
    return types["\(major):\(minor)"].map(Self.remoteTypes.contains) ?? false
  }
}
