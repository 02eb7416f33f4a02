/*
 * The first IDE disk: each step writes one sector of a ring and reads others back.
 *
 * What a sector holds follows from the number of the write, so a write that got lost on the way to another host, or
 * came back from an older copy, is seen: as the newest one at the next step, any other one when its turn comes.
 */
#include "machine.h"

#define IDE 0x1f0
#define IDE_CONTROL 0x3f6
#define NO_INTERRUPTS 2
#define COMMAND_READ 0x20
#define COMMAND_WRITE 0x30
#define STATUS_ERROR 0x01
#define STATUS_DATA 0x08
#define STATUS_BUSY 0x80
#define PATIENCE 2000000

#define RING_START 64u
#define RING_SECTORS 1024u
#define SECTOR_WORDS 256

static u32 written, errors;
static u16 sector[SECTOR_WORDS];

u32 disk_written(void) { return written; }
u32 disk_errors(void) { return errors; }

/* Wait until the disk is no longer busy and shows exactly this of its data flag; 0 if it does, in time. */
static int wait_for_disk(u8 data_flag)
{
    int patience = PATIENCE;

    while (--patience) {
        u8 status = in8(IDE + 7);
        if (status & STATUS_BUSY)
            continue;
        if (status & STATUS_ERROR)
            return -1;
        if ((status & STATUS_DATA) == data_flag)
            return 0;
    }
    return -1;
}

static void command(u32 address, u8 code)
{
    out8(IDE_CONTROL, NO_INTERRUPTS);
    out8(IDE + 6, (u8)(0xe0 | ((address >> 24) & 15)));
    out8(IDE + 2, 1);
    out8(IDE + 3, (u8)address);
    out8(IDE + 4, (u8)(address >> 8));
    out8(IDE + 5, (u8)(address >> 16));
    out8(IDE + 7, code);
}

static u32 place_of(u32 number) { return RING_START + number % RING_SECTORS; }

static u16 word_of(u32 number, u32 position)
{
    return (u16)((number + position * 40503u) ^ (number >> 16));
}

static int write_sector(u32 number)
{
    u32 position;

    command(place_of(number), COMMAND_WRITE);
    if (wait_for_disk(STATUS_DATA))
        return -1;
    for (position = 0; position < SECTOR_WORDS; position++)
        out16(IDE, word_of(number, position));
    return wait_for_disk(0);
}

/* Does the disk still hold what the write of this number put there? 0 if so. */
static int check_sector(u32 number)
{
    u32 position;

    command(place_of(number), COMMAND_READ);
    if (wait_for_disk(STATUS_DATA))
        return -1;
    for (position = 0; position < SECTOR_WORDS; position++)
        sector[position] = in16(IDE);
    for (position = 0; position < SECTOR_WORDS; position++)
        if (sector[position] != word_of(number, position))
            return -1;
    return 0;
}

static u32 any_kept_number(void)
{
    u32 kept = written < RING_SECTORS ? written : RING_SECTORS;
    return written - 1 - random_word() % kept;
}

void disk_step(void)
{
    if (written) {
        errors += check_sector(written - 1) != 0;
        errors += check_sector(any_kept_number()) != 0;
    }
    if (written >= RING_SECTORS)
        errors += check_sector(written - RING_SECTORS) != 0;
    if (write_sector(written))
        errors++;
    written++;
}
