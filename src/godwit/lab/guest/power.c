/* Power: the ACPI button, switching off, starting again. */
#include "machine.h"

#define PCI_ADDRESS 0xcf8
#define PCI_DATA 0xcfc
#define PIIX4_POWER 0x0b     /* 00:01.3, on machine "pc" */
#define PIIX4_POWER_ID 0x71138086u
#define ICH9_BRIDGE 0xf8     /* 00:1f.0, on machine "q35" */
#define INTEL 0x8086u
#define BUTTON 0x100
#define SLEEP_ENABLE 0x2000  /* with sleep type 0, which QEMU takes for "off" */

static u16 registers; /* of power management; 0 if not found */

static u32 read_pci(u32 device, u32 offset)
{
    out32(PCI_ADDRESS, 0x80000000u | (device << 8) | offset);
    return in32(PCI_DATA);
}

void power_start(void)
{
    if (read_pci(PIIX4_POWER, 0) == PIIX4_POWER_ID)
        registers = (u16)(read_pci(PIIX4_POWER, 0x40) & 0xffc0);
    else if ((read_pci(ICH9_BRIDGE, 0) & 0xffff) == INTEL)
        registers = (u16)(read_pci(ICH9_BRIDGE, 0x40) & 0xff80);
    if (registers)
        out16(registers + 2, in16(registers + 2) | BUTTON);
}

int power_button_pressed(void)
{
    if (!registers || !(in16(registers) & BUTTON))
        return 0;
    out16(registers, BUTTON); /* acknowledged by writing it back */
    return 1;
}

void power_off(void)
{
    if (registers)
        out16(registers + 4, SLEEP_ENABLE);
}

void power_reset(void) { out8(0x64, 0xfe); }
