import Foundation
import LogEngine
import Testing

struct XXH3Tests {
  @Test func embeddedVectorsOfEveryLengthClass() throws {
    let input = sanityBuffer(count: 8240)
    for row in embeddedVectors.split(separator: "\n") {
      let fields = row.split(separator: " ")
      let length = try #require(Int(fields[0]))
      try #require(fields.count == 1 + seeds.count)
      for (seed, field) in zip(seeds, fields.dropFirst()) {
        let expected = try #require(UInt64(field, radix: 16))
        let hash = hash64(input, 0..<length, seed)
        #expect(hash == expected, "length \(length), seed \(seed)")
      }
    }
  }

  @Test(.enabled(if: FileManager.default.fileExists(atPath: vectorFile), "the shared vectors are not here"))
  func sharedVectors() throws {
    let input = sanityBuffer(count: 8240)
    var checked = 0
    for line in try String(contentsOfFile: vectorFile, encoding: .utf8).split(separator: "\n") {
      if line.hasPrefix("#") { continue }
      let fields = line.split(separator: " ")
      try #require(fields.count == 3)
      let length = try #require(Int(fields[0]))
      let seed = try #require(UInt64(fields[1], radix: 16))
      let expected = try #require(UInt64(fields[2], radix: 16))
      let hash = hash64(input, 0..<length, seed)
      #expect(hash == expected, "length \(length), seed \(seed)")
      checked += 1
    }
    #expect(checked == 1450)
  }

  /// Also shows that no byte beside the input counts: the neighbours differ from shift to shift.
  @Test func startAddressDoesNotMatter() {
    let input = sanityBuffer(count: 2100)
    for length in Array(0...300) + [511, 512, 513, 1023, 1024, 1025, 2048, 2049, 2100] {
      for seed in [0, 0x9e37_79b1_85eb_ca8d] as [UInt64] {
        let expected = hash64(input, 0..<length, seed)
        for shift in 1...16 {
          let fill = [UInt8](repeating: UInt8(shift), count: shift)
          let shifted = fill + input.prefix(length) + fill
          let hash = hash64(shifted, shift..<shift + length, seed)
          #expect(hash == expected, "length \(length), shift \(shift), seed \(seed)")
        }
      }
    }
  }

  @Test func emptyInputHasOneHashWithOrWithoutAnAddress() {
    for seed in seeds {
      let expected = hash64([0], 0..<0, seed)
      #expect(XXH3.hash64(RawSpan(), seed: seed) == expected)
      #expect(unsafe XXH3.hash64(UnsafeRawBufferPointer(start: nil, count: 0), seed: seed) == expected)
    }
  }

  @Test func seedIsZeroUnlessGiven() {
    let input = sanityBuffer(count: 500)
    for length in [0, 3, 8, 16, 100, 200, 500] {
      let bytes = unsafe input.span.bytes.extracting(0..<length)
      #expect(XXH3.hash64(bytes) == hash64(input, 0..<length, 0))
    }
  }
}

/// `Span.bytes` is marked unsafe because elements may have padding; bytes have none.
private func hash64(_ bytes: [UInt8], _ range: Range<Int>, _ seed: UInt64) -> UInt64 {
  unsafe XXH3.hash64(bytes.span.bytes.extracting(range), seed: seed)
}

/// The input of all vectors: a prefix of the buffer that xxHash's own sanity checks use.
private func sanityBuffer(count: Int) -> [UInt8] {
  var generator: UInt64 = 2_654_435_761
  return (0..<count).map { _ in
    defer { generator = generator &* 11_400_714_785_074_694_797 }
    return UInt8(truncatingIfNeeded: generator >> 56)
  }
}

/// `../shared/vectors` beside the package, which a checkout alone does not have.
private let vectorFile = URL(filePath: #filePath)
  .deletingLastPathComponent().appending(path: "../../../shared/vectors/xxh3-64.txt").standardizedFileURL.path

private let seeds: [UInt64] = [0, 1, 0x9e37_79b1, 0x9e37_79b1_85eb_ca8d, 0xdead_beef_cafe_babe]

/// A length, then its hash under each of `seeds`, by the reference implementation (libxxhash 0.8.4): a part
/// of `xxh3-64.txt` with all lengths at which the algorithm changes course.
private let embeddedVectors = """
  0 2d06800538d394c2 4dc5b0cc826f6703 f702ca3814de2125 a8a6b918b2f0364a 21605795bc1bc9c4
  1 c44bdff4074eecdb 5eaac1f7b17ef730 b53d5557e7f76f8d 032be332dd766ef8 532c3edcbf9fa806
  2 7a9978044cb8a8bb 500767f34ae5e9ff 8295910c7638b180 764b35c90519ad88 b1ac1a1d03e0a23b
  3 54247382a8d6b94d 03d22a2bee351f17 f173d14dad53a5dc 634b8990b4976373 7415c6c461186a20
  4 e5dc74bc51848a51 3cec915201dc0a95 6977c7c3ad9421b9 aa2e7eccb0c8f747 ca5ae69c46c859ff
  5 e4243f00720306bb 3276f2ac4cbdcf76 116cc72ebfccca91 5a67c87e50ed80ed af9b0372d9abb420
  6 27b56a84cd2d7325 77a4b4f488aff776 fd7c7af0cde06034 84589c116ab59ab9 a37a622a5dd896b8
  7 9941e0007f555e50 d28be0afe1004ff3 c8066b3c9ac69b6f 75bdab43463f0151 94ba1fee92c96e31
  8 24ccc9acaa9f65e4 6edd0a446c3329ed 360073b0548dbd24 8f973410999b8f6b 3170e7c0158c7876
  9 14d5001c15dd3f2b 1e61bac9667d1d90 ce394e48812aa7e3 b3ae7333d9013f60 b5ca85f504c4515a
  10 1c117f233fbc3c14 fee8abac8496b8ce e79f2f52b5048f4c 5b8a62db39366886 b101628beb6ddb4f
  11 889839b4c796ddd6 4ef74ce5e8b0af21 e1ad152d03def288 72d41ce6ecffaa96 eee49e640acceb35
  12 a713daf0dfbb77e7 11619ecb04c5d104 8922341eca861f0e e7303e1b2336de0e 90077de43f813a5a
  13 2eb03c6e66ba6524 835fe2ab82bcbe44 d1717859a6dd2316 0d7ecce7a8c882ef 9aecde78e2249121
  14 1ac0bbda2b9fcf03 aaad4407df61d29d ce92aa806b1b4e19 a7f68521581b173f 7ffa652f8d8da218
  15 45556d4d6e1798bc 22f5fd4f16ce20d6 e7bc9ef2380263dd 710dd5318f6f16d5 deed098a6f5861e3
  16 981b17d36c7498c9 196df22240867bf5 b40f1f6cdb1569cc 663f29333b4db6b1 406789fae2e6e7c0
  17 796f5acd3a60f862 836117ef929839e9 af8cb0bc2c230daf f3ec5067f4306db3 268a0b451f612068
  18 6cfeaa845e6ebcd1 8abf66259b86d3d4 4b9a3e700ce1689d 603fda3d472cbc69 199a77f00cc830d1
  28 61d5d60dfed01688 cf6d366a184d68b0 6c041f2066629957 ed4786cc627a8ea5 f54ab885012e7bc7
  31 5d516692ca764c50 96bd16ae66335806 8f5b72bb387d6265 9b37274259c549c6 0df91efa16fa6449
  32 9feaddbdbf57eed3 b090eb2e83ed72ca 04fe6aa559ee0c7e 2199fab1534893d9 1d3db965b6726388
  33 abfb2d081b400a10 da99aaad4dbbffaf 0f2422e0c42a54fc ad56348da574bb6d 3b0cf5cb0665d3c4
  47 050b544c7c6147bd c32ab8e45fcdb1f3 1066ec10c15413d1 cc386369175f3f22 29fdc279137a4970
  48 397da259ecba1f11 fe9a4bbdc8a9f4e5 11f47041a93c3ebc adc2cbaa44acc616 5fd733e844387a75
  63 83d74a75f2c2577a 4d16c567b6a602a9 2ea44b0a270618f1 c3ab9c8b53960dc7 8c0b86f4cdb49fa1
  64 9cb48487720ec49d b4d6e30dcb9c271e ec06a1648c27e203 4fe8895db9b8c077 3475b8d9d28392da
  65 fd81aac4bebc3883 ab78b5b107942d17 6bf1b3c68555b92e ad80aeec1fc9e0a7 0c1b20308582eed1
  80 bcdefbbb2c47c90a 28a7af615b5ec9a8 5a5dfdf2afc5bf47 c6dd0cb699532e73 bdba7e1726e5e777
  95 c0dd460b48116cda 6528f49d4db11c37 f332393c79ddfb46 c81d7c3a751d3b94 f3335afbd4447409
  96 935a769a7f94776f 91e6057d0f14a82d 7c0400a2adfd81dc 70cf51937e500540 a01e54ec93113faf
  97 ca4ca268fd3c3a6c 02d880071022fa75 3b345fc76580a2d1 ee461d3add7ee6c9 c79a991f47001e71
  112 d13d8f57931eef19 a5e2b9ead0d965af 0e95a6e590c1725c a276b2e306e77fe5 b3e63bcfdbd26551
  127 2408ed71323d6096 283af741bb02bca4 65107f5a08c6fc80 41d2f0c3f483208f 4d1f1132e3a1a60c
  128 fcff24126754d861 1f92c8f1a121bd98 a3ca60447de981d1 73fde75280646649 cf9cce4dc4f42b71
  129 98f1b0a679a2ca29 19fe728ffcf4ab6c c861ffc49c2bf14f 21fffdbca099c844 2736ba5fe46b8d25
  130 7f6c531cf53eeb30 55b82fbd038aecb3 d35f99330ade0853 f1450ca53f2203e1 73691e183a6fb17a
  143 7a7813693f1f4edb 17ea89a060756b15 25edfbf621afc23e 43b3274ae68d5742 316b6a9087dd1b62
  144 c440d47e5f03fe58 3c099c34c3adc635 8e992ec5769637eb 858d16b71f4dd859 e6e8e7449ccede96
  145 6b0a35a6cb2da39d ca6304e7484eee6e b73b35f5b3b2f1f6 82aa49a77e3dc26f c4a791712d8178d6
  159 7cb32a6ecdebaf1c 4234ea9efeefc9b3 22610a06d687d1db acff1f7b6cc1fdc9 13ba95a5e20de654
  160 9d03a319ed4cbd2b 7e611e1bbd29a66c 888aec5b043ee62e 3825c75ffe70fde0 8272ca84c4bbf10e
  175 a414b77df2fdabae 41f053a5d1ffd03c 73a38b3abe81713f 8f19b0614db0b814 caaf7b59ee1913e4
  176 6a79c99804538253 4c455ad372851671 c6f96462ecdf611f 25b3750065ba47ef a3216738532fd26c
  192 af9f58e78b8d3587 6bdb9d11486d21e5 618be6f612cde026 69e006aa2156c999 347dd92f900b5be2
  207 56ffe054abc6f401 a6475c62ff0bae0e 12b8dc6be5e23aab 056f05b3d4f7bcef 16b5d35c8eb049f5
  208 2cf1e5eb7433aa4d 68d38e03d0c407ad 2c2dea6391b7e668 a351c8376638c444 f9033dd10f84b31d
  224 3f3250c7e92c871a 75e5045e81560f91 d831a002bb543750 17023a9a6f1156db 4f76437fe9b41afd
  239 16ce2b9d3b28805d 9a5e63d7e2d27175 0836c2b3fc419650 f59f5c23fcebd3b7 4091a607742652fb
  240 81c3c2b67f568ccf ec8fa23c85c444d5 507820ea74b895b0 cc0f58c27ef3d8ee 4d41ad6a1e0977d0
  241 c5a639ecd2030e5e 10da3ddd7528e20f 5927e3637bac8149 dda9b0a161d4829a 6e5cc1574e9276f3
  242 967344e78cb4b723 285cc06682604283 79033d48bd686ca8 5811a132dbcb4c75 c2f1f6c571b97f58
  255 e98f979f4ed8a197 6b451b060f4f9ce1 437ea109cb7ce24d 2aca7901d9538c75 cba7564b32e5c97b
  256 55de574ad89d0ac5 bcdb0df12577aec0 443d04d43f60c57f 4d30234b7a3aa61c c71ef7d6542113ed
  257 b17fd5a8ae75bb0b b4818f35c315e84d 02f16a1476c65d95 802a6fbf3cacd97c db7941899534bf88
  300 7f371220466c4a1a 40c2f378e3a9732d 9f95eeae253eefcf 1c886c664c4d81c4 f620c34302d63f47
  400 fe72257eb83fe803 88013145573a0344 6920cd9c027d9ff2 70703e5792c59b52 4030626a2098f3c6
  403 cdeb804d65c6dea4 4055b4fee3c8ed0b 1fef87bd75dbe404 6259f6ecfd6443fd 45a81d2197e82ac2
  500 ef35aceb3b341a05 18940be821007e9d 0e7df857fdf28119 0a70f89473b2e134 de9b05d4387435d1
  511 8089715b163e7fc0 f65740679dd3917d 96736274a52c7db2 90ec0377ba8d6002 c20d17eae41372b4
  512 617e49599013cb6b 098248a96c7cac74 545f610e9f5a78ec 3ce457de14c27708 740ded2f2c175b15
  513 f7037d3b6722aeec 4429d9a436304f7b 2f79b7f90027ece6 78494a42fde49f35 2cf89985bd42c72d
  600 c0605fe191a5e128 62cf75c51d257975 82954f0c435a68b8 061a23845807828d 2df36f410b410af2
  767 a8d2d803378c6fc2 2dda675bfb67e420 1697c607fc90a09d 8cfc6c461ef19d9a 9e6c6926830368a7
  768 6cbe42e950f7426b 9003f96775c5b1b5 54f84a8ae09ad794 641fb8ca9341034c f3b8710289c2e577
  1000 aca2dde0f1951b9a 4ba2a57be24f6c68 43a934bc1022cfa2 f4dd9adf00ffb410 231a55ed3a47faae
  1023 87a8f7b2f2e22496 5ebe9b5e57208ec0 c38922d5971cd2d7 0f0f02de8590e1b5 0abb542add5dd72a
  1024 dd85c9b5c1109c5c 60f78b42af240c05 b8b95c07cd4a75fa ef368a8a2ebabaef afca367e76c9ce7a
  1025 d870c0fa13211c6a fe1cdb27ea8c2e20 2f15255340ae4f6c 96792bcf9af88519 fd26466717e6d5e3
  1026 98ce9e9675649f1b eab0b756f17687b3 ae374c50e2d72d3f 8b5475338ddaf953 4227d2fb10f839e0
  1087 047f181e7c8a41b9 04f12b460693481a 64d6176cc591affa 9dda30bbbf69bf13 f5a45a491a872167
  1088 cc1450ea6b52a8f4 8a0529f409a22a54 d4c2d1bffc3370a5 542632d046f3dde4 c56a02497a27c901
  2047 b36ece19fca2197f ba41d62c8291b0f2 8141f69f4bacdea2 8111bb82842ed0ae 39e306d637e2a0e7
  2048 dd59e2c3a5f038e0 a135d432877a465f 230d43f30206260b 66f81670669ababc cf7c53e1ab934904
  2049 d3afa4329779b921 fa63308915a9a343 60e0f49946d79daf e48083836cd58024 86ab84fac88ed314
  2240 6e73a90539cf2948 4ff7f8ad8bffbe24 ed385111126fba6f 757ba8487d1b5247 e6c86a02e93544b3
  2367 cb37aeb9e5d361ed d18efcb686724c18 6f5360ae69c2f406 d2db3415b942b42a 0ef2f1b37b55b87f
  4096 e91206429d1f48f9 129310a83b67a346 2c32262e6834f8b9 2a3bbb20a5439dcd 86c2d7c6cb116bfb
  4097 dac80d543e339451 f5f711327ded6abc 1af3e6a9c2c87515 a78887a19a340214 0967d6018269f9b4
  8192 d63690a28889a350 6fa68adfaffe4d3e 0eb2a00e57693e78 de6b0d2d66c4ad11 9d324d03435af499
  8240 91646f8c5b902afa 0a2e8808d2f50fb9 ae0a6d624a0e5967 e3b992c62c19b84a 0e64e372e87521ab
  """
