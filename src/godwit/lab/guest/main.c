/*
 * The lab's guest: a few KB that boot in a tenth of a second, write memory and disk at a chosen rate, check both,
 * and say so on the first serial port, some 50 times a second:
 *
 *     beat NAME SEQUENCE PAGES-DIRTIED DISK-WRITES OK
 *     beat NAME SEQUENCE PAGES-DIRTIED DISK-WRITES BAD pages=N first=N disk=N
 *
 * Kernel command line: name=vm1 heartbeat=20 (ms) rate=0 (pages/s) set=4 (MiB) disk=0 (ms between writes; 0: none).
 * Keyboard, each with the return key: rN rate, wN working set, dN disk, q switch off, b start again.
 */
#include "machine.h"

#define BEATS_PER_CHECK 16

struct settings {
    char name[64];
    u32 heartbeat_ms;
    u32 rate;
    u32 working_set_mib;
    u32 disk_ms;
};

static struct settings settings = {.name = "guest", .heartbeat_ms = 20, .working_set_mib = 4};

void report_fault(void)
{
    print("fault ");
    print(settings.name);
    print("\n");
}

static u32 number_at(const char *text)
{
    u32 value = 0;

    while (*text >= '0' && *text <= '9')
        value = value * 10 + (u32)(*text++ - '0');
    return value;
}

/* What follows `key` if the text begins with it, else null. */
static const char *value_of(const char *text, const char *key)
{
    while (*key)
        if (*text++ != *key++)
            return 0;
    return text;
}

static void take_name(const char *text)
{
    u32 length = 0;

    while (*text && *text != ' ' && length < sizeof settings.name - 1)
        settings.name[length++] = *text++;
    settings.name[length] = 0;
}

static void take_setting(const char *word)
{
    const char *value;

    if ((value = value_of(word, "name=")))
        take_name(value);
    else if ((value = value_of(word, "heartbeat=")))
        settings.heartbeat_ms = number_at(value);
    else if ((value = value_of(word, "rate=")))
        settings.rate = number_at(value);
    else if ((value = value_of(word, "set=")))
        settings.working_set_mib = number_at(value);
    else if ((value = value_of(word, "disk=")))
        settings.disk_ms = number_at(value);
}

static void take_command_line(const char *text)
{
    while (*text) {
        while (*text == ' ')
            text++;
        take_setting(text);
        while (*text && *text != ' ')
            text++;
    }
}

static void obey(const char *line)
{
    u32 number = number_at(line + 1);

    switch (line[0]) {
    case 'r':
        settings.rate = number;
        break;
    case 'w':
        memory_resize(number);
        break;
    case 'd':
        settings.disk_ms = number;
        break;
    case 'q':
        power_off();
        break;
    case 'b':
        power_reset();
        break;
    }
}

static void listen(void)
{
    static char line[16];
    static u32 length;
    char key;

    while ((key = read_key())) {
        if (key != '\n') {
            if (length < sizeof line - 1)
                line[length++] = key;
            continue;
        }
        line[length] = 0;
        length = 0;
        obey(line);
    }
    if (power_button_pressed())
        power_off();
}

static void print_field(const char *label, u32 value)
{
    print(label);
    print_number(value);
}

static void beat(void)
{
    static u32 sequence;

    if (++sequence % BEATS_PER_CHECK == 0)
        memory_check();
    print("beat ");
    print(settings.name);
    print_field(" ", sequence);
    print_field(" ", memory_dirtied());
    print_field(" ", disk_written());
    if (memory_bad_pages() || disk_errors()) {
        print_field(" BAD pages=", memory_bad_pages());
        print_field(" first=", memory_first_bad_page());
        print_field(" disk=", disk_errors());
        print("\n");
    } else {
        print(" OK\n");
    }
}

/* All that is due at one tick of the clock. */
static void step(void)
{
    static u32 owed_pages, since_beat_ms, since_disk_ms;
    u32 pages;

    memory_flush_tlb();
    owed_pages += settings.rate;
    pages = owed_pages / TICKS_PER_S;
    owed_pages -= pages * TICKS_PER_S;
    memory_dirty(pages);

    since_disk_ms += MS_PER_TICK;
    if (settings.disk_ms && since_disk_ms >= settings.disk_ms) {
        since_disk_ms = 0;
        disk_step();
    }
    since_beat_ms += MS_PER_TICK;
    if (settings.heartbeat_ms && since_beat_ms >= settings.heartbeat_ms) {
        since_beat_ms = 0;
        beat();
    }
}

static void announce(void)
{
    print("boot ");
    print(settings.name);
    print_field(" pages=", memory_pages_max());
    print("\n");
}

/* Multiboot information: word 0 flags (bit 0: memory known, bit 2: command line), word 2 KiB above 1 MiB, word 4 text. */
void kmain(const u32 *multiboot)
{
    u32 done;

    timer_start();
    console_start();
    power_start();
    if (multiboot[0] & 4)
        take_command_line((const char *)multiboot[4]);
    memory_start(1024 + (multiboot[0] & 1 ? multiboot[2] : 15 * 1024));
    memory_resize(settings.working_set_mib);
    announce();

    for (done = ticks;;) {
        wait_for_tick();
        for (; done != ticks; done++)
            step();
        listen();
    }
}
