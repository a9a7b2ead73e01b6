using System.Text;
using Proxy.Buffers;

namespace Proxy.Tests.Buffers;

public sealed class AsciiTextTests
{
    [Fact]
    public void One_character_is_another_It_is_seen_wherever_it_stands()
    {
        foreach (var other in "\0\n\u001f \"=!<>~\u007f\u0080é\u0120\u0141\u4e2d\u8041\ud800\uff0a\uffff")
        {
            for (var length = 1; length <= 40; length++)
            {
                for (var at = 0; at < length; at++)
                {
                    var text = new string([.. Enumerable.Range(0, length).Select(i => i == at ? other : (char)('a' + (i % 26)))]);
                    var (bytes, word) = (new byte[length + 1], new byte[length + 1]);

                    Assert.Equal(other is >= ' ' and <= '~', AsciiText.TryCopy(text, bytes));
                    Assert.Equal(other is > ' ' and <= '~' and not '"' and not '=', AsciiText.TryCopyWord(text, word));
                    if (other is >= ' ' and <= '~') Assert.Equal(text + "\0", Encoding.ASCII.GetString(bytes));
                    if (other is '!' or '<' or '>' or '~') Assert.Equal(text + "\0", Encoding.ASCII.GetString(word));
                }
            }
        }
    }
}
