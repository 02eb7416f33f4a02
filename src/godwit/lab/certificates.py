"""The lab's own certificate authority and a certificate for each host and for the control plane.

Made anew for each lab by openssl (elliptic curve keys: about 10 ms each), gone with it. `lab` calls
this once while it comes up; tests use `issue` to make certificates that must be refused.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from godwit.lab.layout import CONTROL_PLANE_ADDRESS, HostLayout
from godwit.lab.processes import run

DH_PARAMETERS: Final = "dh-params.pem"
VALID_DAYS: Final = "3650"


@dataclass(frozen=True)
class Authority:
    """A certificate authority: a folder with `cacert.pem` and `cakey.pem`."""

    folder: Path

    @property
    def certificate(self) -> Path:
        """What every peer trusts."""
        return self.folder / "cacert.pem"

    @property
    def key(self) -> Path:
        """What signs; never leaves the lab."""
        return self.folder / "cakey.pem"


def make_all_certificates(base: Path, hosts: Sequence[HostLayout]) -> None:
    """Make the authority, then all certificates, each laid out where libvirt and QEMU look."""
    authority = make_authority(base / "authority")
    jobs = [(control_plane_folder(base), "control-plane", [f"IP:{CONTROL_PLANE_ADDRESS}"])]
    jobs += [(host.folder / "certificate", host.name, _names_of(host)) for host in hosts]
    with ThreadPoolExecutor(max_workers=4) as workers:
        list(
            workers.map(
                lambda job: issue(authority, job[0], name=job[1], alternatives=job[2]), jobs
            )
        )
    for host in hosts:
        lay_out_pki(host.folder / "certificate", host.folder / "etc/pki")


def control_plane_folder(base: Path) -> Path:
    """Where the control plane's client certificate lies, named as libvirt's `pkipath` wants it."""
    return base / "control-plane/pki"


def make_authority(folder: Path) -> Authority:
    """Make a new certificate authority in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = Authority(folder)
    extensions = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"]
    request = folder / "request.cnf"
    request.write_text(request_text("Godwit lab authority", extensions))
    run(_openssl(request, authority.key, authority.certificate))
    # Without this file QEMU makes such parameters anew for every move: 0.3 s of its time and more.
    group = ["-algorithm", "DH", "-pkeyopt", "group:ffdhe2048"]
    run(["openssl", "genpkey", "-genparam", *group, "-out", str(folder / DH_PARAMETERS)])
    return authority


def issue(authority: Authority, folder: Path, *, name: str, alternatives: Sequence[str]) -> None:
    """Make key and certificate for `name` and these other names, good for server and client.

    Leaves `cacert.pem`, `clientcert.pem`, `clientkey.pem` and `dh-params.pem` in `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    extensions = [
        "basicConstraints=critical,CA:FALSE",
        "keyUsage=critical,digitalSignature,keyEncipherment",
        "extendedKeyUsage=serverAuth,clientAuth",
        "subjectAltName=" + ",".join([f"DNS:{name}", *alternatives]),
    ]
    request = folder / "request.cnf"
    request.write_text(request_text(name, extensions))
    signed_by = ["-CA", str(authority.certificate), "-CAkey", str(authority.key)]
    run([*_openssl(request, folder / "clientkey.pem", folder / "clientcert.pem"), *signed_by])
    shutil.copyfile(authority.certificate, folder / "cacert.pem")
    shutil.copyfile(authority.folder / DH_PARAMETERS, folder / DH_PARAMETERS)


def expire(authority: Authority, folder: Path, *, at: datetime) -> None:
    """Sign again what `issue` left in `folder`, as a certificate that was or will be good until
    then, and from a day before.
    """
    request, wanted = str(folder / "request.cnf"), str(folder / "request.pem")
    key, certificate = str(folder / "clientkey.pem"), str(folder / "clientcert.pem")
    run(["openssl", "req", "-new", "-config", request, "-key", key, "-out", wanted])
    (folder / "signed.txt").write_text("")
    rules = folder / "authority.cnf"
    rules.write_text(_authority_text(authority, folder))
    dates = ["-startdate", _date(at - timedelta(days=1)), "-enddate", _date(at)]
    extensions = ["-extfile", request, "-extensions", "extensions"]
    files = ["-config", str(rules), "-in", wanted, "-out", certificate]
    run(["openssl", "ca", "-batch", "-notext", *files, *dates, *extensions])


def lay_out_pki(certificate: Path, pki: Path) -> None:
    """Copy a certificate to all the places below /etc/pki where libvirt and QEMU look."""
    places = {
        "cacert.pem": ["CA/cacert.pem", "qemu/ca-cert.pem"],
        "clientcert.pem": [
            "libvirt/servercert.pem",
            "libvirt/clientcert.pem",
            "qemu/server-cert.pem",
            "qemu/client-cert.pem",
        ],
        "clientkey.pem": [
            "libvirt/private/serverkey.pem",
            "libvirt/private/clientkey.pem",
            "qemu/server-key.pem",
            "qemu/client-key.pem",
        ],
        DH_PARAMETERS: [f"qemu/{DH_PARAMETERS}"],
    }
    for name, destinations in places.items():
        for destination in destinations:
            (pki / destination).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(certificate / name, pki / destination)


def request_text(name: str, extensions: Sequence[str]) -> str:
    """The openssl configuration for one self-made or signed certificate. Pure."""
    return "\n".join(
        [
            "[req]",
            "prompt = no",
            "distinguished_name = subject",
            "x509_extensions = extensions",
            "[subject]",
            f"CN = {name}",
            "O = Godwit lab",
            "[extensions]",
            *extensions,
            "",
        ]
    )


def _authority_text(authority: Authority, folder: Path) -> str:
    """The openssl configuration of an authority that keeps its books in `folder`. Pure."""
    return "\n".join(
        [
            "[ca]",
            "default_ca = lab",
            "[lab]",
            f"database = {folder / 'signed.txt'}",
            f"new_certs_dir = {folder}",
            f"certificate = {authority.certificate}",
            f"private_key = {authority.key}",
            "default_md = sha256",
            "rand_serial = yes",
            "unique_subject = no",
            "policy = any",
            "[any]",
            "commonName = supplied",
            "organizationName = optional",
            "",
        ]
    )


def _date(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y%m%d%H%M%SZ")


def _names_of(host: HostLayout) -> list[str]:
    return [f"IP:{host.management_address}", f"IP:{host.migration_address}"]


def _openssl(request: Path, key: Path, certificate: Path) -> list[str]:
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-config", str(request), "-keyout", str(key), "-out", str(certificate)]
    return ["openssl", "req", "-x509", *new_key, "-days", VALID_DAYS, *files]
