// Taking over a file of version 1.
//
// Every row stays where it is, with its serial and its counts, so that what the ledger has stored as folded holds on. The
// newer cells are zero, as the ledger's new columns are, so nothing is counted for them before something happens.
//
// The process may die at any instruction of it. The header's checksum is changed before the version that it vouches for,
// so what is found in between can be told from damage, and is taken over anew. Nobody adds to a row before the new
// version is on the disk: what is found under the old one never has counts in its newer cells.
extension MeterFileState {
    /// Makes the file one of the present version, in place. Every row has been validated.
    func takeOver(_ mapping: CounterMapping) throws(MeterFileError) {
        for slot in slots { slot.row.clearEarlierCells() }
        try mapping.sync()
        headerWord(MeterFileLayout.Header.checksum).value = Self.checksum(MeterFileLayout.formatWord, generation)
        headerWord(MeterFileLayout.Header.format).publish(MeterFileLayout.formatWord)
        try mapping.sync()
    }

    /// Whether a process died in ``takeOver(_:)`` between the two words of the header.
    static func isTakeOverBegun(_ format: UInt64, _ generation: UInt64, checksum found: UInt64) -> Bool {
        format == MeterFileLayout.formatWordOfVersion1 && found == checksum(MeterFileLayout.formatWord, generation)
    }
}
