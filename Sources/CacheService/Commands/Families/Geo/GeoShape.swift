#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// What a search looks for places in.
struct GeoShape {
    enum Extent {
        case circle(radius: Double)
        case box(width: Double, height: Double)
    }

    let center: GeoPoint
    /// In metres.
    let extent: Extent

    /// The distance of a place from the center, in metres; nil where it lies outside.
    func distance(to point: GeoPoint) -> Double? {
        switch extent {
        case .circle(let radius):
            let distance = center.distance(to: point)
            return distance > radius ? nil : distance
        case .box(let width, let height):
            // Across is measured at the place's own latitude.
            let across = point.distance(to: GeoPoint(longitude: center.longitude, latitude: point.latitude))
            let along = GeoPoint.earthRadius * abs(GeoPoint.radians(point.latitude) - GeoPoint.radians(center.latitude))
            guard across <= width / 2, along <= height / 2 else { return nil }
            return center.distance(to: point)
        }
    }

    /// How far the farthest place lies from the center.
    private var reach: Double {
        switch extent {
        case .circle(let radius): radius
        case .box(let width, let height): (width / 2 * (width / 2) + height / 2 * (height / 2)).squareRoot()
        }
    }

    /// The cells that cover the shape, each once, in the order in which they are searched: the one of the center, its
    /// neighbours beside it, then those across its corners: nine in most cases, some more towards the poles.
    var cells: [GeoCell] {
        let box = boundingBox
        var steps = stepsForReach
        var middle = GeoCell(center, steps: steps)
        // Near the edge of its cell a center may have too little of the neighbours on that side.
        if steps > 1, isBeyondNeighbours(of: middle) {
            steps -= 1
            middle = GeoCell(center, steps: steps)
        }
        // Towards a pole a shape may reach farther east and west than its neighbours do.
        while steps > 1, missingColumns(beside: middle) > 2 {
            steps -= 1
            middle = GeoCell(center, steps: steps)
        }
        let missing = steps > 1 ? missingColumns(beside: middle) : 0
        // Beyond an edge of the middle cell that the shape does not reach there is nothing to find. With cells of half
        // the map neighbours on both sides are one.
        let excludes = steps >= 2
        let hasNorth = !(excludes && middle.north > box.north)
        let hasSouth = !(excludes && middle.south < box.south)
        let hasEast = !(excludes && middle.east > box.east)
        let hasWest = !(excludes && middle.west < box.west)
        var cells = [middle]
        func add(_ columns: Int, _ rows: Int, _ isWanted: Bool) {
            let cell = middle.moved(columns: columns, rows: rows)
            if isWanted, !cells.contains(cell) { cells.append(cell) }
        }
        add(0, 1, hasNorth)
        add(0, -1, hasSouth)
        add(1, 0, hasEast)
        add(-1, 0, hasWest)
        add(1, 1, hasNorth && hasEast)
        add(-1, 1, hasNorth && hasWest)
        add(1, -1, hasSouth && hasEast)
        add(-1, -1, hasSouth && hasWest)
        for columns in 2..<2 + missing {
            for rows in -1...1 {
                let isWanted = rows == 0 || (rows > 0 ? hasNorth : hasSouth)
                add(columns, rows, isWanted)
                add(-columns, rows, isWanted)
            }
        }
        return cells
    }

    /// How fine cells may be so that nine of them cover the shape in most cases.
    private var stepsForReach: Int {
        // Half of the Earth's way around, as the projection has it.
        let farthest = 20_037_726.37
        guard reach > 0 else { return GeoCell.mostSteps }
        var steps = -1
        var length = reach
        while length < farthest, steps < GeoCell.mostSteps + 2 {
            length *= 2
            steps += 1
        }
        // Towards the poles cells become narrow.
        if abs(center.latitude) > 66 { steps -= 1 }
        if abs(center.latitude) > 80 { steps -= 1 }
        return min(max(steps, 1), GeoCell.mostSteps)
    }

    /// Whether a rectangle around it reaches farther than the neighbours; on a map that ends at the date line.
    private func isBeyondNeighbours(of middle: GeoCell) -> Bool {
        let north = middle.moved(columns: 0, rows: 1).north
        let south = middle.moved(columns: 0, rows: -1).south
        let east = middle.moved(columns: 1, rows: 0).east
        let west = middle.moved(columns: -1, rows: 0).west
        let box = boundingBox
        return north < box.north || south > box.south || east < box.east || west > box.west
    }

    /// How many columns of cells it reaches into beyond the neighbours, on the side where it is more.
    private func missingColumns(beside middle: GeoCell) -> Int {
        let width = middle.east - middle.west
        let reach = columnReach
        let beyond = max(
            center.longitude + reach - (middle.east + width), middle.west - width - (center.longitude - reach))
        return beyond > 0 ? Int((beyond / width).rounded(.up)) : 0
    }

    /// How far east and west its places go, in degrees.
    private var columnReach: Double {
        guard case .circle(let radius) = extent else { return min(boundingBox.east - center.longitude, 180) }
        let angle = radius / GeoPoint.earthRadius
        guard GeoPoint.radians(abs(center.latitude)) + angle < .pi / 2 else { return 180 }
        return GeoPoint.degrees(asin(sin(angle) / cos(GeoPoint.radians(center.latitude))))
    }

    /// The edges of a rectangle around the shape, in degrees; beyond the map's where the shape is.
    private var boundingBox: (west: Double, south: Double, east: Double, north: Double) {
        let (halfWidth, halfHeight): (Double, Double)
        switch extent {
        case .circle(let radius): (halfWidth, halfHeight) = (radius, radius)
        case .box(let width, let height): (halfWidth, halfHeight) = (width / 2, height / 2)
        }
        let rows = GeoPoint.degrees(halfHeight / GeoPoint.earthRadius)
        // It is widest where it is nearest to a pole.
        let widest = center.latitude < 0 ? center.latitude - rows : center.latitude + rows
        // One that holds a pole goes all around.
        let columns =
            abs(widest) < 90
            ? GeoPoint.degrees(halfWidth / GeoPoint.earthRadius / cos(GeoPoint.radians(widest))) : 360
        return (
            center.longitude - columns, center.latitude - rows, center.longitude + columns, center.latitude + rows
        )
    }
}
