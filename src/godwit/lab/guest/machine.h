/* The machine: fixed-width words, port input and output. Included by every other file. */
#ifndef MACHINE_H
#define MACHINE_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

#define PAGE_BYTES 4096u
#define PAGES_PER_MIB 256u

static inline void out8(u16 port, u8 value) { __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port)); }
static inline void out16(u16 port, u16 value) { __asm__ volatile("outw %0, %1" ::"a"(value), "Nd"(port)); }
static inline void out32(u16 port, u32 value) { __asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port)); }

static inline u8 in8(u16 port)
{
    u8 value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline u16 in16(u16 port)
{
    u16 value;
    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline u32 in32(u16 port)
{
    u32 value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* timer.c */
#define TICKS_PER_S 250u
#define MS_PER_TICK (1000u / TICKS_PER_S)
extern volatile u32 ticks;
void timer_start(void);
void wait_for_tick(void);

/* console.c: the first serial port out, the keyboard in */
void console_start(void);
void print(const char *text);
void print_number(u32 value);
char read_key(void); /* 0: none waiting */

/* memory.c: the working set, written at a chosen rate and checked */
void memory_start(u32 memory_kib);
void memory_resize(u32 mib);
void memory_dirty(u32 pages);
void memory_check(void);
void memory_flush_tlb(void);
u32 memory_pages_max(void);
u32 memory_dirtied(void);   /* pages written since the start */
u32 memory_bad_pages(void); /* pages ever found to hold something else than was written */
u32 memory_first_bad_page(void);
u32 random_word(void);

/* disk.c: the first IDE disk, written and read back */
void disk_step(void);
u32 disk_written(void);
u32 disk_errors(void);

/* power.c */
void power_start(void);
int power_button_pressed(void);
void power_off(void);
void power_reset(void);

#endif
