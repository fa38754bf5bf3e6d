/// JSON of 200 to 500 bytes as applications keep it: the record of a user, all with the same names and other contents.
enum Document {
    private static let names = [
        "Ada", "Alan", "Barbara", "Edsger", "Frances", "Grace", "Hedy", "Joan", "John", "Katherine", "Margaret",
    ]
    private static let cities = ["Berlin", "Lyon", "Porto", "Utrecht", "Gdansk", "Bergen", "Graz", "Zaragoza"]
    private static let plans = ["free", "team", "business", "enterprise"]

    static func make(_ random: inout Random) -> [UInt8] {
        func pick(_ words: [String]) -> String { words[random.below(words.count)] }
        func digits(_ count: Int) -> String { (0..<count).map { _ in "\(random.below(10))" }.joined() }
        let name = pick(names)
        var text = "{\"id\":\"usr_\(digits(12))\",\"name\":\"\(name) \(pick(names))\","
        text += "\"email\":\"\(name.lowercased())\(digits(4))@example.com\",\"plan\":\"\(pick(plans))\","
        text += "\"created_at\":\"202\(digits(1))-0\(1 + random.below(9))-1\(digits(1))T"
        text += "1\(digits(1)):2\(digits(1)):44Z\",\"balance\":\(digits(3)).\(digits(2)),"
        text += "\"address\":{\"city\":\"\(pick(cities))\",\"zip\":\"\(digits(5))\"}"
        for number in 0..<random.below(6) {
            text += ",\"device_\(number)\":{\"last_seen\":17\(digits(8)),\"push\":\(random.below(2) == 0)}"
        }
        return Array((text + "}").utf8)
    }
}
