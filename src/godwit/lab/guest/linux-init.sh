#!/bin/busybox sh
# PID 1 of the lab's Linux guest: a network card with an address, an echo service on TCP port 7, and the same
# heartbeat as the tiny guest's, with a check of a megabyte of random data at every 16th beat.
# Kernel command line: name=vm1 address=10.98.2.10/24 heartbeat=100 (ms)

/bin/busybox mkdir -p /proc /dev
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc none /proc
mount -t devtmpfs none /dev

name=linux address= heartbeat=100
for word in $(cat /proc/cmdline); do
    case $word in
    name=*) name=${word#name=} ;;
    address=*) address=${word#address=} ;;
    heartbeat=*) heartbeat=${word#heartbeat=} ;;
    esac
done

for module in $(cat /modules/order); do
    insmod "/modules/$module"
done
ip link set lo up
ip link set eth0 up
[ -z "$address" ] || ip address add "$address" dev eth0
nc -ll -p 7 -e cat &

head -c 1048576 /dev/urandom >/checked
sum=$(md5sum </checked)
state=OK
beat=0
echo "boot $name pages=0" >/dev/ttyS0
while :; do
    beat=$((beat + 1))
    if [ $((beat % 16)) = 0 ] && [ "$(md5sum </checked)" != "$sum" ]; then
        state="BAD pages=1 first=0 disk=0"
    fi
    echo "beat $name $beat 0 0 $state" >/dev/ttyS0
    usleep "${heartbeat}000"
done
