/*
 * The working set: pages of random (incompressible) data from 4 MiB up, rewritten at a chosen rate, and checked.
 *
 * Each page carries the same word at its start and in its middle. The word is also kept in a table of its own, and
 * the sum of all words in a variable: a page that a migration lost shows as a difference to the table, a
 * lost page of the table as a difference to the sum.
 */
#include "machine.h"

#define EXPECTED ((volatile u32 *)0x200000u) /* one word for each page: room for 2 GiB of them */
#define WORKING_SET 0x400000u
#define KEPT_FREE_BYTES 0x100000u /* at the top of memory: the firmware's tables */
#define WORDS_PER_PAGE 1024u
#define MIDDLE_WORD 512u

static u32 page_directory[1024] __attribute__((aligned(4096)));
static u32 pages, pages_max, next_page, sum, dirtied;
static u32 bad_pages, first_bad_page;
static u32 random_state = 2463534242u;

u32 memory_pages_max(void) { return pages_max; }
u32 memory_dirtied(void) { return dirtied; }
u32 memory_bad_pages(void) { return bad_pages; }
u32 memory_first_bad_page(void) { return first_bad_page; }

u32 random_word(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

static volatile u32 *page_at(u32 number) { return (volatile u32 *)(WORKING_SET + number * PAGE_BYTES); }

static void write_page(u32 number, u32 word)
{
    volatile u32 *page = page_at(number);

    page[0] = word;
    page[MIDDLE_WORD] = word;
    EXPECTED[number] = word;
}

/* Identity paging with 4 MiB pages, for one purpose only: to have a TLB that can be flushed. */
static void start_paging(void)
{
    u32 entry;

    for (entry = 0; entry < 1024; entry++)
        page_directory[entry] = (entry << 22) | 0x83; /* present, writable, 4 MiB */
    __asm__ volatile("mov %%cr4, %%eax\n\t"
                     "or $0x10, %%eax\n\t"
                     "mov %%eax, %%cr4\n\t"
                     "mov %0, %%cr3\n\t"
                     "mov %%cr0, %%eax\n\t"
                     "or $0x80000000, %%eax\n\t"
                     "mov %%eax, %%cr0" ::"r"(page_directory)
                     : "eax", "memory");
}

/*
 * Every operating system flushes its TLB all the time, at context switches. QEMU before 9.0 relies on that when it
 * emulates the processor: it misses writes to pages that stay in the TLB, and a migration loses them.
 */
void memory_flush_tlb(void) { __asm__ volatile("mov %%cr3, %%eax; mov %%eax, %%cr3" ::: "eax", "memory"); }

void memory_start(u32 memory_kib)
{
    u32 end = memory_kib * 1024u;
    u32 first_free = WORKING_SET + KEPT_FREE_BYTES;

    pages_max = end > first_free ? (end - first_free) / PAGE_BYTES : 0;
    start_paging();
}

/* New pages are filled with random data; pages given up are just no longer counted. */
void memory_resize(u32 mib)
{
    u32 wanted = mib * PAGES_PER_MIB;
    u32 number, word;

    if (wanted > pages_max)
        wanted = pages_max;
    for (number = pages; number < wanted; number++) {
        for (word = 0; word < WORDS_PER_PAGE; word++)
            page_at(number)[word] = random_word();
        write_page(number, number);
        sum += number;
    }
    for (number = wanted; number < pages; number++)
        sum -= EXPECTED[number];
    pages = wanted;
    next_page = 0;
}

void memory_dirty(u32 count)
{
    if (!pages)
        return;
    while (count--) {
        u32 word = random_word();
        sum += word - EXPECTED[next_page];
        write_page(next_page, word);
        dirtied++;
        if (++next_page >= pages)
            next_page = 0;
    }
}

/* What was found bad once stays counted: a guest that lost a page must not look healthy after rewriting it. */
void memory_check(void)
{
    u32 found_sum = 0, found_bad = 0, number;

    for (number = 0; number < pages; number++) {
        volatile u32 *page = page_at(number);
        found_sum += page[0];
        if (page[0] != EXPECTED[number] || page[MIDDLE_WORD] != page[0]) {
            if (!bad_pages && !found_bad)
                first_bad_page = number;
            found_bad++;
        }
    }
    if (!found_bad && found_sum != sum)
        found_bad = 1;
    if (found_bad > bad_pages)
        bad_pages = found_bad;
}
