import Testing

@testable import CacheService

@Suite struct GlobTests {
    private func matches(_ text: String, _ pattern: String, ignoringCase: Bool = false) -> Bool {
        Array(text.utf8).withUnsafeBytes { text in
            Array(pattern.utf8).withUnsafeBytes { Glob.matches(text, $0, ignoringCase: ignoringCase) }
        }
    }

    @Test func patternsMatchTheWholeText() {
        let cases: [(pattern: String, yes: [String], no: [String])] = [
            ("abc", ["abc"], ["ab", "abcd", ""]), ("*", ["a", "ab"], []), ("a*", ["a", "ab"], ["b", "ba"]),
            ("*b", ["b", "ab", "bab"], ["ba"]), ("a*b*c", ["abc", "axbxbc"], ["acb", "abcx"]), ("a?c", ["abc"], ["ac"]),
            ("[a-c]x", ["ax", "cx"], ["dx", "x"]), ("[c-a]x", ["bx"], ["dx"]), ("[^a]x", ["bx"], ["ax"]),
            ("[ab", ["a", "b"], ["c", "ab"]), ("[a\\]]", ["]", "a"], ["\\"]), ("\\*", ["*"], ["a"]),
            ("a\\", ["a\\"], ["a"]), ("[", [], ["["]), ("[^", ["x"], ["xy"]), ("**a**", ["a", "bab"], ["b"]),
            ("", [""], ["a"]),
        ]
        for (pattern, yes, no) in cases {
            for text in yes { #expect(matches(text, pattern), "\(pattern) of \(text)") }
            for text in no { #expect(!matches(text, pattern), "\(pattern) of \(text)") }
        }
        #expect(matches("ABC", "a[B-b]c", ignoringCase: true))
        #expect(!matches("ABC", "abc"))
    }

    @Test func manyStarsTakeNoLongerThanTextTimesPattern() {
        let pattern = String(repeating: "a*", count: 1000) + "b"
        let text = Array(String(repeating: "a", count: 60_000).utf8)
        var steps = 0
        let isMatched = text.withUnsafeBytes { text in
            Array(pattern.utf8).withUnsafeBytes { Glob.matches(text, $0, steps: &steps) }
        }
        #expect(!isMatched)
        #expect(steps <= Glob.mostSteps + pattern.utf8.count)
        #expect(matches(String(repeating: "a", count: 60_000) + "b", pattern))
    }
}
