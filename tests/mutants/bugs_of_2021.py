"""The bugs of the 2021 patch of on-demand fork, done to this kernel; the number is that of the test that finds them."""

from mutant import m

BUGS_OF_2021 = [
    m(
        "B1 PMD entries of tables with read-only areas alone keep W",
        "odf.py",
        "    if apart is None:\n        ours &= _NO_WRITE\n",
        "    if apart is None:\n"
        "        bases = [_start(puds, pmds[s >> 9]) + ((s & 511) << PMD_SHIFT) for s in slots.tolist()]\n"
        "        written = [any(v.flags & 2 for v in parent.overlapping(b, b + PMD_SIZE)) for b in bases]\n"
        "        ours.reshape(-1)[slots[np.array(written, np.bool_)]] &= _NO_WRITE\n",
        "test_B1_read_only_areas_share_write_protected_tables",
    ),
    m(
        "B2 mprotect gives private pages their W back",
        "protect.py",
        "vma.soft_clean or not flags & VM_SHARED or code_elsewhere",
        "vma.soft_clean or code_elsewhere",
        "test_B2_rights_given_back_after_the_fork_do_not_expose_the_sharer",
    ),
    m(
        "B3 MADV_DONTNEED of one page lets go of the whole table",
        "advise.py",
        "    mm.pt.claim_edges(start, end)\n",
        "",
        "test_B3_dontneed_of_one_page_drops_one_page",
    ),
    m(
        "B4 munmap of one area frees what its neighbour has in the same table",
        "mmap.py",
        "    mm.pt.claim_edges(start, end)\n",
        "",
        "test_B4_one_area_of_two_in_a_table_goes_and_the_other_stays",
    ),
    m(
        "B5 the split of an area counts its table",
        "mm.py",
        "        tail = vma.clone(start=address)\n",
        "        tail = vma.clone(start=address)\n        if self.pt.slot(address):\n"
        "            self.frames.counts[self.pt.slot(address) >> 9] += 1\n",
        "test_B5_splits_and_merges_change_no_count",
    ),
    m(
        "B5 the merge of two areas counts their table",
        "mm.py",
        "        self.vmas[i].soft_clean &= self.vmas[i + 1].soft_clean\n",
        "        self.vmas[i].soft_clean &= self.vmas[i + 1].soft_clean\n"
        "        if self.pt.slot(self.vmas[i].start):\n"
        "            self.frames.counts[self.pt.slot(self.vmas[i].start) >> 9] += 1\n",
        "test_B5_splits_and_merges_change_no_count",
    ),
    m(
        "B6 a partial unmap leaves dangling PTEs",
        "pgtable.py",
        "                self.drop_entries(row, tlb)\n                row[:] = 0\n",
        "                self.drop_entries(row, tlb)\n",
        "test_B6_partial_unmap_of_a_table_that_nobody_shares_any_more",
    ),
    m(
        "B7 no flush when a PMD entry gets another table",
        "sharing.py",
        "        self.costs.ptes_copied += len(entries)\n        if frames.cpu is not None:\n"
        "            frames.cpu.flush_tlb()\n",
        "        self.costs.ptes_copied += len(entries)\n",
        "test_B7_every_switch_of_a_pmd_entry_flushes",
    ),
    m(
        "B8 a table that nobody shares is broken once more",
        "sharing.py",
        "        if self.frames.counts[table] > 1:\n            self._break",
        "        if self.frames.counts[table] > 0:\n            self._break",
        "test_B8_the_state_is_looked_at_when_it_is_acted_upon",
    ),
    m(
        "B9 no memory for the copy leaves an empty PMD entry",
        "sharing.py",
        "        old = frames_of(flat[slots])\n",
        "        old = frames_of(flat[slots])\n        flat[slots] = 0\n",
        "test_B9_no_memory_for_the_copy_leaves_the_entry",
    ),
    m(
        "B10 the copy is installed before it is filled",
        "sharing.py",
        "        new = frames.alloc_tables(len(slots), zero=False)\n        block",
        "        new = frames.alloc_tables(len(slots), zero=False)\n"
        "        flat[slots] = new.astype(np.uint64) << _TWELVE | np.uint64(TABLE_BITS)\n        block",
        "test_B10_a_table_is_complete_before_it_is_installed",
    ),
    m(
        "B11 the owner's pages are counted twice when it breaks its own table",
        "sharing.py",
        "            self.count_pages(block[foreign], 1, huge)\n",
        "            self.count_pages(block, 1, huge)\n",
        "test_B11_breaks_count_resident_pages_once",
    ),
    m(
        "B12 who takes a table over does not count it",
        "sharing.py",
        "            self.tables += len(foreign)\n",
        "",
        "test_B12_the_number_of_tables_does_not_drift_with_the_order_of_exits",
    ),
    m(
        "B13 mprotect writes through to the sharer",
        "protect.py",
        "            mm.pt.claim(at, stop)\n",
        "",
        "test_B13_mprotect_does_not_write_through_to_the_sharer",
    ),
    m(
        "B14 mremap takes the sharer's pages away",
        "remap.py",
        "    mm.pt.claim(old, old + old_length)\n",
        "",
        "test_B14_mremap_does_not_take_the_sharers_pages_along",
    ),
    m(
        "B15 a read of a hole puts its PTE into the shared table",
        "fault.py",
        '    """First read of an anonymous page: the one page of zeros, write-protected."""\n'
        "    slot = mm.pt.make_slot(address)\n",
        '    """First read of an anonymous page: the one page of zeros, write-protected."""\n'
        "    slot = mm.pt.slot(address) or mm.pt.make_slot(address)\n",
        "test_B15_a_read_only_mapping_in_a_hole_makes_no_ghost_page",
    ),
    m(
        "B16 the child can reach what it should not have got",
        "odf.py",
        "v.flags & (LEFT_OUT | VM_SFORK)]",
        "v.flags & VM_SFORK]",
        "test_B16_what_a_child_must_not_have_is_not_in_its_table",
    ),
    m(
        "B17 kernel writes look at the last level alone",
        "uaccess.py",
        "        rights &= entry\n",
        "        rights = entry\n",
        "test_B17_kernel_writes_do_not_bypass_the_table",
    ),
    m(
        "B18 the dirty bits of shared memory are lost at a break",
        "sharing.py",
        "        frames.ram.tables[new] = block\n        self.refer_to",
        "        frames.ram.tables[new] = block & np.uint64(~(1 << 6) & (1 << 64) - 1)\n        self.refer_to",
        "test_B18_dirty_bits_of_shared_mappings_are_kept",
    ),
    m(
        "B19 every mmap is populated",
        "mmap.py",
        "    elif populate:\n",
        "    else:\n",
        "test_B19_only_map_populate_populates_and_it_does_so_for_writing",
    ),
    m(
        "B19 MAP_POPULATE only reads",
        "fault.py",
        "            error = PF_WRITE if vma.flags & (VM_WRITE | VM_SHARED) == VM_WRITE else 0\n            _populate",
        "            error = 0\n            _populate",
        "test_B19_only_map_populate_populates_and_it_does_so_for_writing",
    ),
    m(
        "B20 the last user copies the table instead of taking it back",
        "sharing.py",
        "        else:\n            self._reuse(np.array([slot]), huge)\n",
        "        else:\n            self.frames.counts[table] += 1\n            self._break(np.array([slot]), huge)\n"
        "            self.frames.put_many(self.counted(self.frames.ram.tables[table]))\n"
        "            self.frames.put(table)\n",
        "test_B20_reads_copy_nothing_and_the_last_user_copies_nothing",
    ),
]
