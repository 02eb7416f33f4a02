"""Without libvirt's Python binding (`make test-quick`), what needs it is not collected."""

import importlib.util

collect_ignore = (
    []
    if importlib.util.find_spec("libvirt")
    else [
        "test_libvirt_acts.py",
        "test_libvirt_check_reads.py",
        "test_libvirt_connection.py",
        "test_libvirt_cpu.py",
        "test_libvirt_drivers.py",
        "test_libvirt_elsewhere.py",
        "test_libvirt_records.py",
        "test_libvirt_rehearsals.py",
        "test_libvirt_ties.py",
    ]
)
